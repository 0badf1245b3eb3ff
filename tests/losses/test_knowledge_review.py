"""Knowledge review against the paper's formula, field by field."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import uniform
from trained import batch_normalised
from trained import convolution
from trained import run_oracle
from trained import run_trained

from keras_distill.losses import KnowledgeReview

# Sides that divide by a level and such that do not; a stage that is resized; pooled features.
STAGES = {
    "images": ([(3, 8, 8, 4), (3, 5, 5, 6)], [(3, 8, 8, 2), (3, 5, 5, 3)]),
    "other sizes": ([(3, 7, 6, 4), (3, 3, 3, 5)], [(3, 5, 4, 2), (3, 2, 3, 3)]),
    "pooled": ([(3, 4, 4, 4), (3, 2, 2, 5), (3, 7)], [(3, 4, 4, 2), (3, 3, 3, 3), (3, 4)]),
}


def features(stages, limit, seed=0):
    return [
        [uniform(limit, shape, seed=seed + 10 * side + i)[0] for i, shape in enumerate(shapes)]
        for side, shapes in enumerate(stages)
    ]


def built(teacher, student, **settings):
    loss = KnowledgeReview(reduction=None, **settings)
    loss(teacher, student)
    for index, weight in enumerate(loss.review.trainable_weights):
        if "kernel" not in weight.path:
            weight.assign(uniform(0.5, weight.shape, seed=index)[0] + 1.0)
    return loss


def nearest(image, height, width):
    rows = [image[:, math.floor(i * image.shape[1] / height)] for i in range(height)]
    image = tf.stack(rows, axis=1)
    columns = [image[:, :, math.floor(i * image.shape[2] / width)] for i in range(width)]
    return tf.stack(columns, axis=2)


def pooled(image, side):
    """The fields of PyTorch's adaptive average pooling."""

    def fields(size):
        return [
            (math.floor(i * size / side), math.ceil((i + 1) * size / side)) for i in range(side)
        ]

    return tf.stack(
        [
            tf.reduce_mean(image[:, top:bottom, left:right], axis=(1, 2))
            for (top, bottom), (left, right) in itertools.product(
                fields(image.shape[1]), fields(image.shape[2])
            )
        ],
        axis=1,
    )


def mse(a, b):
    return tf.reduce_mean(tf.reshape((a - b) ** 2, (len(a), -1)), axis=-1)


def hierarchical_context(teacher, fused):
    terms, weights = [mse(teacher, fused)], [1.0]
    for side in (4, 2, 1):
        if side < min(teacher.shape[1:3]):
            terms.append(mse(pooled(teacher, side), pooled(fused, side)))
            weights.append(weights[-1] / 2)
    return sum(w * term for w, term in zip(weights, terms)) / sum(weights)


def review(loss):
    """From the given weights, in the order of the layers' names."""
    names = [weight.path for weight in loss.review.trainable_weights]

    def oracle(teacher, student, weights):
        # The deepest stage's layers were made first.
        left = list(zip(names, weights))

        def take(kind, num):
            found = [pair for pair in left if f"/{kind}" in pair[0]]
            first = sorted({p.rsplit("/", 1)[0] for p, _ in found}, key=number)[0]
            taken = [pair for pair in found if pair[0].rsplit("/", 1)[0] == first]
            for pair in taken:
                left.remove(pair)
            assert len(taken) == num, names
            return [weight for _, weight in taken]

        total, deeper = 0.0, None
        for t, s in zip(reversed(teacher), reversed(student)):
            t, s = (z if len(z.shape) == 4 else z[:, None, None] for z in (t, s))
            x = batch_normalised(convolution(s, *take("conv", 1)), *take("batch", 2))
            if deeper is not None:
                deeper = nearest(deeper, *x.shape[1:3])
                both = tf.concat([x, deeper], axis=-1)
                gates = tf.sigmoid(convolution(both, *take("conv", 2)))
                x = x * gates[..., :1] + deeper * gates[..., 1:]
            deeper = nearest(x, *t.shape[1:3])
            fused = batch_normalised(convolution(deeper, *take("conv", 1)), *take("batch", 2))
            total += hierarchical_context(t, fused)
        assert not left
        return total

    return oracle


def number(path):
    """Of a layer's automatic name: conv2d, conv2d_1, ..."""
    tail = path.rsplit("_", 1)[-1]
    return int(tail) if tail.isdigit() else 0


@pytest.mark.long_but_first
@pytest.mark.parametrize("limit", [5.0, 1000.0])
@pytest.mark.parametrize("stages", STAGES)
def test_value_and_gradients_are_exact(stages, limit):
    """By every stage of the student and every layer of the review."""
    teacher, student = features(STAGES[stages], limit)
    loss = built(teacher, student)
    expected = run_oracle(review(loss), loss.review, teacher, student)
    values, by_student, by_part = run_trained(loss, loss.review, teacher, student)
    assert values.shape == (3,)
    assert norm_error(values, expected[0]) < 1e-5
    for actual, exact in zip(tf.nest.flatten((by_student, by_part)), [*expected[1], *expected[2]]):
        assert norm_error(actual, exact) < 1e-4 or np.linalg.norm(exact) < 1e-6


def test_width_between():
    """The deepest student stage's, at most 512, or what is asked for."""
    for channels, settings, expected in (
        (3, {}, 3),
        (600, {}, 512),
        (3, {"mid_channels": 7}, 7),
    ):
        loss = KnowledgeReview(**settings)
        loss([np.ones((1, 2, 2, 4))], [np.ones((1, 2, 2, channels))])
        kernels = [w.shape for w in loss.review.trainable_weights if len(w.shape) == 4]
        assert kernels == [(1, 1, channels, expected), (3, 3, expected, 4)]


def test_deeper_stages_learn_from_shallow_ones():
    """The review's point: the teacher's shallow stage moves the student's deep one, not back."""
    teacher, student = features(STAGES["images"], 5.0)
    loss = built(teacher, student)
    _, before, _ = run_trained(loss, loss.review, teacher, student)
    for changed, is_moved in ((0, [True, True]), (1, [False, True])):
        other = [2 * z if i == changed else z for i, z in enumerate(teacher)]
        _, after, _ = run_trained(loss, loss.review, other, student)
        moved = [not np.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(after, before)]
        assert moved == is_moved


def test_stages_that_do_not_fit():
    """Pairs that are missing would be left out by zip, in silence."""
    loss, one = KnowledgeReview(), np.ones((2, 4, 4, 3))
    with pytest.raises(ValueError, match=r"Received: 2 of the teacher, 1 of the student"):
        loss([one, one], [one])
    with pytest.raises(ValueError, match=r"Received: 0 of the teacher"):
        loss([], [])
    with pytest.raises(ValueError, match=r"whose sizes are known.*Received: \(2, 4, 3\)"):
        loss([one], [one[:, 0]])
    spec = [tf.TensorSpec((None, None, None, 3))]
    with pytest.raises(ValueError, match=r"Received: \(None, None, None, 3\)"):
        tf.function(loss).get_concrete_function(spec, spec)


@pytest.mark.parametrize("mid_channels", [0, 2.5, True])
def test_bad_mid_channels(mid_channels):
    """True would count as a width of 1."""
    with pytest.raises(ValueError, match="mid_channels must be an integer of 1 or more"):
        KnowledgeReview(mid_channels)


def test_mask():
    """The fusion of the stages mixes positions, so that none can be left out."""
    teacher, student = features(STAGES["images"], 1.0)
    student[0] = tf.constant(student[0])
    student[0]._keras_mask = tf.ones((3, 8, 8), bool)
    with pytest.raises(ValueError, match="KnowledgeReview compares whole feature maps"):
        KnowledgeReview()(teacher, student)
