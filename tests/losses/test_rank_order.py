"""DarkRank against its formulas, written out list by list."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform

from keras_distill.losses import HardDarkRank
from keras_distill.losses import SoftDarkRank

LOSSES = [HardDarkRank, SoftDarkRank]
every_loss = pytest.mark.parametrize("loss_class", LOSSES)


def scores_of(features, scale, power):
    """`{(query, other): score}`, each distance written out."""
    vectors = [x / tf.sqrt(tf.reduce_sum(x * x)) for x in features]
    return {
        (i, j): -scale * tf.sqrt(tf.reduce_sum((vectors[i] - vectors[j]) ** 2)) ** power
        for i, j in itertools.permutations(range(len(vectors)), 2)
    }


def log_likelihood(scores):
    """The product of the paper's eq. 1, factor by factor."""
    terms = [
        scores[i] - tf.math.log(sum(tf.exp(s) for s in scores[i:])) for i in range(len(scores))
    ]
    return sum(terms)


def oracle(teacher, student, loss):
    """The values, `(batch,)` in float64."""
    taught = scores_of(teacher, loss.scale, loss.power)
    learnt = scores_of(student, loss.scale, loss.power)
    values = []
    for q in range(len(teacher)):
        others = [j for j in range(len(teacher)) if j != q]
        ranked = sorted(others, key=lambda j: -float(taught[q, j]))
        if isinstance(loss, HardDarkRank):
            values.append(-log_likelihood([learnt[q, j] for j in ranked]) / len(ranked))
            continue
        divergence = 0.0
        for order in itertools.permutations(ranked[: loss.list_length]):
            log_p = log_likelihood([taught[q, j] for j in order])
            log_q = log_likelihood([learnt[q, j] for j in order])
            divergence += tf.exp(log_p) * (log_p - log_q)
        values.append(divergence)
    return tf.stack(values)


def expected_of(loss, teacher, student):
    """Values, and the gradient of their sum, of the oracle."""
    vectors = [tf.constant(np.reshape(x, (len(x), -1)), "float64") for x in (teacher, student)]
    with tf.GradientTape() as tape:
        tape.watch(vectors[1])
        values = oracle(*map(tf.unstack, vectors), loss)
    gradient = tape.gradient(values, vectors[1])
    return values.numpy(), np.reshape(gradient, np.shape(student))


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    ("teacher_shape", "student_shape", "limit"),
    [((6, 7), (6, 3), 5.0), ((5, 4), (5, 2, 2, 3), 1e-3), ((3, 9), (3, 2), 1e4)],
)
@every_loss
def test_value_and_gradient_are_exact(loss_class, teacher_shape, student_shape, limit):
    """A wrong order, or the query in its own list, would only rank worse."""
    teacher = uniform(limit, teacher_shape)[0]
    student = uniform(limit, student_shape, seed=1)[1]
    loss = loss_class(reduction=None)
    expected, expected_gradient = expected_of(loss, teacher, student)
    values, gradient = run(loss, teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


@pytest.mark.parametrize(
    "loss",
    [
        HardDarkRank(scale=0.5, power=1.0, reduction=None),
        SoftDarkRank(scale=50.0, power=2.5, list_length=3, reduction=None),
        SoftDarkRank(scale=1, power=1, list_length=2, reduction=None),
    ],
    ids=["hard", "soft", "short"],
)
def test_settings_reach_the_formula(loss):
    """A setting that is stored and not used."""
    teacher, student = uniform(2.0, (5, 4))
    expected, expected_gradient = expected_of(loss, teacher, student)
    values, gradient = run(loss, teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


def test_list_as_long_as_the_batch_allows():
    """With fewer examples than the list has places, the missing ones must not count."""
    for size in (3, 4, 5):
        teacher, student = uniform(2.0, (size, 4))
        loss = SoftDarkRank(list_length=5, reduction=None)
        expected, expected_gradient = expected_of(loss, teacher, student)
        values, gradient = run(loss, teacher, student)
        assert norm_error(values, expected) < 1e-6
        assert norm_error(gradient, expected_gradient) < 1e-6


def test_soft_ranks_are_zero_at_the_teacher():
    """Noise at the optimum would keep pushing a student that has arrived."""
    features = uniform(5.0, (6, 8))[0]
    values, gradient = run(SoftDarkRank(reduction=None), features, features)
    assert not np.any(values)
    assert not np.any(gradient)


def test_hard_ranks_see_the_order_alone():
    """Of the teacher only the order may count; of the soft one the distances, too."""
    student = uniform(2.0, (6, 2))[1]
    angles = np.linspace(0.1, 1.2, 6) ** 2
    teacher = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    # All angles a bit smaller: other distances in the same order.
    nearer = np.stack([np.cos(0.8 * angles), np.sin(0.8 * angles)], axis=-1)
    for loss_class, is_same in ((HardDarkRank, True), (SoftDarkRank, False)):
        value, other = (float(loss_class()(x, student)) for x in (teacher, nearer))
        assert (value == other) == is_same
    right, wrong = teacher, teacher[::-1][[0, 2, 4, 1, 3, 5]]
    assert float(HardDarkRank(50)(teacher, right)) < float(HardDarkRank(50)(teacher, wrong))


@every_loss
def test_scale_and_rotation_change_nothing(loss_class):
    """Otherwise the loss would ask the student for the teacher's own axes."""
    teacher, student = uniform(2.0, (6, 8))
    rotation, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 8)))
    loss = loss_class(reduction=None)
    changed = (3.0 * student @ rotation).astype("float32")
    np.testing.assert_allclose(loss(teacher, changed), loss(teacher, student), rtol=1e-5)


@pytest.mark.parametrize("power", [1.0, 3.0])
@every_loss
def test_equal_examples_and_zeros_are_no_trouble(loss_class, power):
    """A distance or a length of 0 has no direction: a gradient there would be NaN."""
    teacher, student = uniform(2.0, (6, 8))
    student[1], student[2], student[4] = student[0], 2 * student[0], 0
    teacher[3], teacher[4] = 0, teacher[5]
    for other in (student, np.ones((6, 8), "float32"), np.zeros((6, 8), "float32")):
        values, gradient = run(loss_class(power=power, reduction=None), teacher, other)
        assert np.isfinite(values).all()
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() < 1e3


@pytest.mark.long_but_first
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_loss
def test_half_precision(loss_class, dtype):
    """The square of 1000 is inf in float16."""
    teacher, student = (tf.cast(x, dtype) for x in uniform(1000.0, (6, 8)))
    loss = loss_class(reduction=None)
    expected, expected_gradient = expected_of(loss, teacher, student)
    values, gradient = run(loss, teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert gradient.dtype == dtype
    # Gradients of features near 1000 are small, and float16 has few digits there.
    assert norm_error(gradient, expected_gradient) < 1e-2


@every_loss
@pytest.mark.long
def test_compiled_by_xla(loss_class):
    """XLA has sorts and sums of its own."""
    teacher, student = uniform(5.0, (5, 8))
    compiled = tf.function(lambda t, s: run(loss_class(), t, s), jit_compile=True)
    value, gradient = compiled(tf.constant(teacher), tf.constant(student))
    expected, expected_gradient = run(loss_class(), teacher, student)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    assert norm_error(gradient, expected_gradient.numpy()) < 1e-5


@every_loss
def test_batch_size_shows_when_it_runs(loss_class):
    """fit() traces with a batch size of None; smaller last batches and empty ones come."""
    spec = tf.TensorSpec((None, 8))
    traced = tf.function(lambda t, s: run(loss_class(), t, s), input_signature=[spec, spec])
    teacher, student = uniform(5.0, (5, 8))
    value, _ = traced(teacher, student)
    assert float(value) == pytest.approx(float(loss_class()(teacher, student)), rel=1e-5)
    for size in (0, 1, 2):
        value, gradient = traced(teacher[:size], student[:size])
        assert float(value) == 0 or size == 2
        assert np.isfinite(gradient).all()


@every_loss
def test_teacher_gets_no_gradient(loss_class):
    """Or both models would be pulled together, to nothing."""
    teacher, student = (tf.Variable(x) for x in uniform(5.0, (4, 6)))
    with tf.GradientTape() as tape:
        value = loss_class()(teacher, student)
    gradients = tape.gradient(value, [teacher, student])
    assert gradients[0] is None
    assert np.any(gradients[1])


@every_loss
def test_weights_are_of_the_queries(loss_class):
    """Keras's semantics: the weighted sum over the number of examples."""
    teacher, student = uniform(2.0, (6, 8))
    weights = np.array([1.0, 0.0, 2.0, 0.5, 0.0, 1.0], "float32")
    values = np.asarray(loss_class(reduction=None)(teacher, student))
    expected = np.sum(values * weights) / 6
    assert float(loss_class()(teacher, student, weights)) == pytest.approx(expected, rel=1e-5)


@every_loss
def test_masked_positions_count_as_zeros(loss_class):
    """Padding that counts would rank texts by their length."""
    teacher, student = uniform(2.0, (4, 5, 3))
    mask = np.arange(5) < np.array([[5], [3], [4], [2]])
    kept = [np.where(mask[..., None], x, 0).astype("float32") for x in (teacher, student)]
    student = tf.convert_to_tensor(student)
    student._keras_mask = tf.convert_to_tensor(mask)
    values = loss_class(reduction=None)(teacher, student)
    np.testing.assert_allclose(values, loss_class(reduction=None)(*kept), rtol=1e-6)


@every_loss
def test_bad_arguments_and_batches(loss_class):
    """Each would train on nothing, or on NaN."""
    for settings, message in (
        ({"scale": 0}, "scale must be a positive finite number. Received: scale=0"),
        ({"scale": np.inf}, "scale must be a positive finite number"),
        ({"power": 0.5}, "power must be 1 or more.* Received: power=0.5"),
        ({"power": "3"}, "power must be a positive finite number. Received: power='3'"),
    ):
        with pytest.raises(ValueError, match=message):
            loss_class(**settings)
    with pytest.raises(ValueError, match=f"{loss_class.__name__} needs batches of at least 3"):
        loss_class()(np.ones((2, 4)), np.ones((2, 4)))


def test_bad_list_lengths():
    """The orders of ten examples are 3.6 million."""
    with pytest.raises(ValueError, match=r"list_length must be at most 6.*list_length=10\. Use"):
        SoftDarkRank(list_length=10)
    with pytest.raises(ValueError, match="list_length must be an integer of 2 or more"):
        SoftDarkRank(list_length=1)


@pytest.mark.parametrize(
    "loss",
    [
        HardDarkRank(2.0, power=1.5),
        SoftDarkRank(2.0, power=1.5, list_length=3, reduction="sum", name="mine", dtype="float64"),
    ],
    ids=["hard", "soft"],
)
def test_config_round_trip(loss):
    """A reloaded Distiller must not go on with another loss."""
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.get_config() == loss.get_config()
    features = uniform(5.0, (5, 6))
    assert float(restored(*features)) == float(loss(*features))
