"""IRG against the graphs of the paper, written out pair by pair."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import uniform

from keras_distill.losses import IRG

WEIGHTS = {"vertex_weight": 0.3, "edge_weight": 2.0, "transformation_weight": 5.0}
# Of teacher and student, for the transformation of edges and of vertices.
SHAPES = {
    "edges": ([(4, 7), (4, 2, 2, 3), (4, 6)], [(4, 3), (4, 5), (4, 6)]),
    "vertices": ([(4, 6)] * 3, [(4, 6)] * 3),
}


def layers_of(transformation, limit=2.0, dtype="float32"):
    """Features of all layers of the teacher, and of the student."""
    return [
        [uniform(limit, shape, dtype, seed=10 * i + side)[0] for i, shape in enumerate(shapes)]
        for side, shapes in enumerate(SHAPES[transformation])
    ]


def squared_distance(a, b):
    return tf.reduce_sum((a - b) ** 2)


def relative(values):
    return values / tf.reduce_max(values)


def irg(teacher, student, transformation):
    """Values `(batch,)` in float64."""
    size = range(len(teacher[0]))

    def edges(x):
        return relative(tf.stack([[squared_distance(x[i], x[j]) for j in size] for i in size]))

    def changes(layers):
        if transformation == "vertices":
            return [
                relative(tf.stack([squared_distance(a[i], b[i]) for i in size]))
                for a, b in itertools.pairwise(layers)
            ]
        graphs = [edges(x) for x in layers]
        return [tf.reduce_mean((a - b) ** 2, axis=1) for a, b in itertools.pairwise(graphs)]

    vertices = tf.reduce_mean((teacher[-1] - student[-1]) ** 2, axis=-1)
    rows = [tf.reduce_mean((edges(t) - edges(s)) ** 2, axis=1) for t, s in zip(teacher, student)]
    squares = [(t - s) ** 2 for t, s in zip(changes(teacher), changes(student))]
    return (
        WEIGHTS["vertex_weight"] * vertices
        + WEIGHTS["edge_weight"] * sum(rows) / len(rows)
        + WEIGHTS["transformation_weight"] * sum(squares) / len(squares)
    )


def expected_of(teacher, student, transformation):
    teacher, student = ([tf.cast(x, "float64") for x in side] for side in (teacher, student))
    with tf.GradientTape() as tape:
        tape.watch(student)
        values = irg(teacher, student, transformation)
    return values.numpy(), tape.gradient(values, student)


def run(loss, teacher, student):
    student = [tf.convert_to_tensor(x) for x in student]
    with tf.GradientTape() as tape:
        tape.watch(student)
        values = loss(teacher, student)
    return values, tape.gradient(values, student)


every_transformation = pytest.mark.parametrize("transformation", SHAPES)


@pytest.mark.long_but_first
@pytest.mark.parametrize("limit", [1e-3, 5.0, 1000.0])
@every_transformation
def test_value_and_gradients_are_exact(transformation, limit):
    """A layer that is left out, or compared with the wrong one, still trains."""
    teacher, student = layers_of(transformation, limit)
    expected, expected_gradients = expected_of(teacher, student, transformation)
    loss = IRG(transformation, **WEIGHTS, reduction=None)
    values, gradients = run(loss, teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        assert norm_error(gradient, expected_gradient) < 1e-6


@pytest.mark.long_but_first
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_transformation
def test_half_precision(transformation, dtype):
    """Squared distances of float16 overflow from 256 on."""
    teacher, student = (
        [tf.cast(x, dtype) for x in side] for side in layers_of(transformation, 1000.0)
    )
    expected, expected_gradients = expected_of(teacher, student, transformation)
    values, gradients = run(IRG(transformation, **WEIGHTS, reduction=None), teacher, student)
    assert norm_error(values, expected) < 1e-6
    # Those of the edges alone are below the smallest float16.
    assert gradients[-1].dtype == dtype
    assert norm_error(gradients[-1], expected_gradients[-1]) < 4e-3


@every_transformation
def test_nothing_to_learn_from_the_same_layers(transformation):
    """A gradient there would push a perfect student away."""
    layers = layers_of(transformation)[0]
    values, gradients = run(IRG(transformation, reduction=None), layers, layers)
    assert not np.any(values)
    assert not any(np.any(gradient) for gradient in gradients)


def test_graphs_do_not_see_rotation_shift_and_scale():
    """Each layer has axes of its own."""
    teacher, student = layers_of("edges")
    rotation, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))
    changed = [student[0] * 4, student[1] + 3, (student[2] @ rotation).astype("float32")]
    loss = IRG(vertex_weight=0, reduction=None)
    np.testing.assert_allclose(loss(teacher, changed), loss(teacher, student), rtol=1e-5)


def test_each_weight_has_its_term():
    """A weight of 0 leaves out its term and no other."""
    teacher, student = layers_of("vertices")

    def value(**weights):
        none = dict.fromkeys(WEIGHTS, 0.0)
        return float(IRG("vertices", **(none | weights))(teacher, student))

    parts = [value(**{name: weight}) for name, weight in WEIGHTS.items()]
    assert min(parts) > 0
    assert value(**WEIGHTS) == pytest.approx(sum(parts), rel=1e-6)
    last = float(np.mean((teacher[-1] - student[-1]) ** 2))
    assert value(vertex_weight=1) == pytest.approx(last, rel=1e-6)


@every_transformation
def test_equal_examples(transformation):
    """All distances are 0, and so is the largest: 0 / 0."""
    teacher, _ = layers_of(transformation)
    student = [np.ones(shape, "float32") for shape in SHAPES[transformation][1]]
    values, gradients = run(IRG(transformation, reduction=None), teacher, student)
    assert np.isfinite(values).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("jit_compile", [False, True])
@every_transformation
@pytest.mark.long
def test_unknown_batch_size(transformation, jit_compile):
    """fit() traces with a batch size of None; a last batch of one, and an empty one."""
    specs = [
        [tf.TensorSpec((None, *shape[1:])) for shape in shapes] for shapes in SHAPES[transformation]
    ]
    loss = IRG(transformation, **WEIGHTS)

    @tf.function(input_signature=specs, jit_compile=jit_compile)
    def value_and_gradients(teacher, student):
        with tf.GradientTape() as tape:
            tape.watch([teacher, student])
            value = loss(teacher, student)
        return value, tape.gradient(value, [teacher, student])

    teacher, student = layers_of(transformation)
    value, gradients = value_and_gradients(teacher, student)
    values, expected_gradients = expected_of(teacher, student, transformation)
    assert float(value) == pytest.approx(np.mean(values), rel=1e-6)
    assert gradients[0] == [None] * 3
    for gradient, expected_gradient in zip(gradients[1], expected_gradients, strict=True):
        assert norm_error(gradient, np.asarray(expected_gradient) / 4) < 1e-6
    if not jit_compile:
        one, none = ([[x[:size] for x in side] for side in (teacher, student)] for size in (1, 0))
        vertices = float(np.mean((teacher[-1][0] - student[-1][0]) ** 2))
        value, gradients = value_and_gradients(*one)
        assert float(value) == pytest.approx(WEIGHTS["vertex_weight"] * vertices, rel=1e-6)
        assert all(np.isfinite(gradient).all() for gradient in gradients[1])
        assert float(value_and_gradients(*none)[0]) == 0


def test_masks_and_weights():
    """Each layer has a mask of its own; weights are of the examples."""
    teacher, student = ([x, x[:, 0]] for x in uniform(2.0, (4, 5, 3)))
    mask = np.arange(5) < np.array([[5], [3], [4], [2]])
    kept = [[np.where(mask[..., None], x, 0).astype("float32"), y] for x, y in (teacher, student)]
    expected = IRG(reduction=None)(*kept)
    student[0] = tf.convert_to_tensor(student[0])
    student[0]._keras_mask = tf.constant(mask)
    np.testing.assert_allclose(IRG(reduction=None)(teacher, student), expected, rtol=1e-6)
    weights = np.array([1.0, 0.0, 2.0, 0.5], "float32")
    value = float(IRG()(teacher, student, weights))
    assert value == pytest.approx(np.mean(weights * np.asarray(expected)), rel=1e-5)


@pytest.mark.parametrize(
    ("teacher", "student", "settings", "message"),
    [
        ([(4, 3)], [(4, 3)], {}, "as the student, at least 2. Received: 1 and 1. For one layer"),
        ([], [], {"transformation_weight": 0}, "at least 1. Received: 0 and 0"),
        ([(4, 3)] * 2, [(4, 3)] * 3, {}, "Received: 2 and 3"),
        ([(1, 3)] * 2, [(1, 3)] * 2, {}, "IRG needs batches of at least 2 examples"),
        ([(4, 3)] * 2, [(5, 3), (4, 3)], {}, "IRG compares features of the same examples"),
        ([(4, 3)] * 2, [(4, 3), (4, 2)], {}, 'End both lists with "output", or give vertex_weight'),
        (
            [(4, 3)] * 2,
            [(4, 2), (4, 3)],
            {"transformation": "vertices"},
            r"one shape within each model. Received: \[\(4, 2\), \(4, 3\)\]",
        ),
    ],
)
def test_layers_that_do_not_fit(teacher, student, settings, message):
    """zip() would cut the longer list, and widths of 1 broadcast."""
    message = message.replace("as the student", "as of the student")
    with pytest.raises(ValueError, match=message):
        IRG(**settings)(*([np.ones(shape) for shape in side] for side in (teacher, student)))


def test_what_has_no_weight_may_differ():
    """One layer, and last layers of two widths."""
    assert IRG(vertex_weight=0, transformation_weight=0)([np.eye(4)], [np.ones((4, 2))]) > 0


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_out_of_range(name):
    """A negative weight teaches the opposite."""
    with pytest.raises(ValueError, match=f"{name} must be a finite number >= 0. Received: {name}"):
        IRG(**{name: -1.0})


def test_unknown_transformation():
    """A typing error must not fall back to the other one."""
    with pytest.raises(ValueError, match=r'"edges" or "vertices"\. Received: .*vertex'):
        IRG("vertex")


def test_config_round_trip():
    """A reloaded Distiller must not go on with another loss than it was saved with."""
    loss = IRG("vertices", **WEIGHTS, name="mine", reduction="sum", dtype="float64")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.get_config() == loss.get_config()
    assert float(restored(*layers_of("vertices"))) == float(loss(*layers_of("vertices")))
