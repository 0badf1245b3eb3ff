"""DIST against Pearson's formula: values, gradients, constants, masks."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform

from keras_distill.losses import DIST

LIMITS = (5.0, 50.0, 1000.0)
every_limit = pytest.mark.parametrize("limit", LIMITS)

# Its exponents reach 1e-4932, where float64 ends at 1e-308.
LONG = np.longdouble


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def one_minus_correlation(a, b):
    """Of two vectors, and its gradient by b."""
    a, b = a - a.mean(), b - b.mean()
    a_norm, b_norm = np.sqrt(np.sum(a * a)), np.sqrt(np.sum(b * b))
    correlation = np.sum(a * b) / (a_norm * b_norm)
    gradient = correlation * b / b_norm**2 - a / (a_norm * b_norm)
    return 1 - correlation, gradient - gradient.mean()


def dist(teacher, student, temperature, inter_weight=1.0, intra_weight=1.0):
    """Values, and the gradient of their sum, of `(batch, classes)`."""
    p, q = (softmax(z.astype(LONG) / LONG(temperature)) for z in (teacher, student))
    num_examples, num_classes = p.shape
    inter, intra, by_q = np.zeros(num_examples, LONG), LONG(0), np.zeros_like(q)
    for i in range(num_examples):
        inter[i], gradient = one_minus_correlation(p[i], q[i])
        by_q[i] += inter_weight * gradient
    for c in range(num_classes):
        value, gradient = one_minus_correlation(p[:, c], q[:, c])
        intra += value / num_classes
        # In each of the values.
        by_q[:, c] += num_examples * intra_weight * gradient / num_classes
    squared = LONG(temperature) ** 2
    values = squared * (inter_weight * inter + intra_weight * intra)
    gradient = q * (by_q - np.sum(by_q * q, axis=-1, keepdims=True))
    return values.astype("float64"), (squared * gradient / LONG(temperature)).astype("float64")


@every_limit
@pytest.mark.parametrize("shape", [(12, 3), (7, 10)], ids=str)
def test_value_and_gradient_are_exact(shape, limit):
    """Rows for columns, a lost T^2 or an underflow would only train worse."""
    teacher, student = uniform(limit, shape)
    # Where both are sure the gradient is below the least float32.
    for temperature in (1.0, 4.0) if limit < 1000 else (4.0, 50.0):
        expected, expected_gradient = dist(teacher, student, temperature)
        values, gradient = run(DIST(temperature, reduction=None), teacher, student)
        assert values.dtype == "float32"
        assert norm_error(values, expected) < 1e-6, temperature
        assert norm_error(gradient, expected_gradient) < 1e-6, temperature


def test_mean_is_the_loss_of_numpy():
    """The oracle's algebra could be wrong in the same way; NumPy has correlations, too."""
    teacher, student = uniform(5.0, (6, 4), "float64")
    p, q = softmax(teacher / 2), softmax(student / 2)
    inter = np.mean([1 - np.corrcoef(p[i], q[i])[0, 1] for i in range(6)])
    intra = np.mean([1 - np.corrcoef(p[:, c], q[:, c])[0, 1] for c in range(4)])
    loss = DIST(2.0, inter_weight=3.0, intra_weight=0.5)
    assert float(loss(teacher, student)) == pytest.approx(4 * (3 * inter + 0.5 * intra), rel=1e-6)


@every_limit
def test_equal_logits_give_zero_value_and_gradient(limit):
    """Rounding noise at the optimum would keep pushing a student that has arrived."""
    logits = uniform(limit, (12, 5))[0]
    for temperature in (1.0, 4.0):
        values, gradient = run(DIST(temperature, reduction=None), logits, logits)
        assert not np.any(values)
        assert not np.any(gradient)


@pytest.mark.parametrize("distance", [1e-3, 1e-5])
def test_student_that_almost_equals_its_teacher(distance):
    """1 - correlation would be rounding noise there, and so would its gradient."""
    teacher, noise = uniform(5.0, (8, 5), "float64")
    teacher = teacher.astype("float32")
    student = (teacher + distance * noise).astype("float32")
    expected, expected_gradient = dist(teacher, student, 4.0)
    values, gradient = run(DIST(4.0, reduction=None), teacher, student)
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert norm_error(gradient, expected_gradient) < 1e-5


def test_scale_and_shift_of_probabilities_change_nothing():
    """The point of the paper: a less sure student with the same relations has arrived."""
    p = softmax(uniform(2.0, (8, 4), "float64")[0])
    loss = DIST(teacher_from_logits=False, student_from_logits=False, reduction=None)
    values, gradient = run(loss, p, tf.constant(0.5 * p + 0.125))
    np.testing.assert_allclose(values, 0, atol=1e-9)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


@pytest.mark.parametrize("side", ["teacher", "student", "both"])
def test_constant_probabilities_count_as_no_correlation(side):
    """0 / 0: NaN, or after rounding 1 / 1e-17, a gradient that ends the training."""
    for constant in (np.zeros((6, 3)), np.full((6, 3), 0.1), np.tile([5.0, 1.0, 0.1], (6, 1))):
        outputs = [x.astype("float32") for x in uniform(2.0, (6, 3))]
        for i in {"teacher": [0], "student": [1], "both": [0, 1]}[side]:
            outputs[i] = constant.astype("float32")
        for inter, intra in ((1.0, 0.0), (0.0, 1.0)):
            loss = DIST(1.0, inter_weight=inter, intra_weight=intra, reduction=None)
            values, gradient = run(loss, *outputs)
            assert np.isfinite(values).all()
            assert np.abs(gradient).max() < 1e3
            is_row = inter > 0
            if not is_row or constant[0, 0] == constant[0, 1]:
                np.testing.assert_array_equal(values, 1)
                assert not np.any(gradient)


def test_last_batch_of_one_has_no_relation_within_a_class():
    """Its deviation from the mean is 0: only the relation between the classes is left."""
    spec = tf.TensorSpec((None, 4))
    traced = tf.function(lambda t, s: run(DIST(reduction=None), t, s), input_signature=[spec, spec])
    teacher, student = uniform(5.0, (1, 4))
    values, gradient = traced(teacher, student)
    expected, expected_gradient = run(DIST(intra_weight=0.0, reduction=None), teacher, student)
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6)


def test_one_example_has_no_correlation_with_others():
    """Half the loss would be missing without a word."""
    teacher, student = uniform(5.0, (1, 5))
    with pytest.raises(ValueError, match=r"DIST needs batches of at least 2 examples\."):
        DIST()(teacher, student)
    assert float(DIST(intra_weight=0.0)(teacher, student)) > 0
    assert float(DIST()(*uniform(5.0, (1, 3, 5)))) > 0  # Every position is an example.


def test_every_position_is_an_example():
    """(batch, length, classes), as of a tagger."""
    teacher, student = uniform(5.0, (3, 4, 5))
    expected, _ = dist(*(z.reshape(12, 5) for z in (teacher, student)), 1.0)
    values = DIST(reduction=None)(teacher, student)
    assert values.shape == (3, 4)
    assert norm_error(values, expected.reshape(3, 4)) < 1e-6


@pytest.mark.parametrize("jit_compile", [False, True])
def test_masked_positions_are_in_no_correlation(jit_compile):
    """Padding that counts in a mean over the examples changes the loss of all others."""
    teacher, student = uniform(5.0, (3, 4, 5))
    mask = np.arange(4) < np.array([[4], [1], [2]])
    weights = np.linspace(0.5, 2.0, 12).reshape(3, 4).astype("float32")

    @tf.function(jit_compile=jit_compile)
    def value_and_gradient(teacher, student):
        with tf.GradientTape() as tape:
            tape.watch(student)
            masked = tf.identity(student)
            masked._keras_mask = tf.constant(mask)
            value = DIST()(teacher, masked, weights)
        return value, tape.gradient(value, student)

    value, gradient = value_and_gradient(*map(tf.constant, (teacher, student)))
    expected, _ = dist(teacher[mask], student[mask], 1.0)
    assert float(value) == pytest.approx(np.sum(expected * weights[mask]) / 7, rel=1e-5)
    assert not np.any(gradient.numpy()[~mask])
    assert np.any(gradient.numpy()[mask], axis=-1).all()


def test_masks_of_fewer_axes_and_of_everything():
    """Whole examples are left out; a batch of padding counts 0."""
    teacher, student = uniform(5.0, (3, 4, 5))
    for kept in ([True, False, True], [False, False, False]):
        tensor = tf.constant(student)
        tensor._keras_mask = tf.constant(np.repeat(np.array(kept)[:, None], 4, axis=1))
        value = DIST()(teacher, tensor)
        expected = DIST()(teacher[kept], student[kept])
        assert float(value) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    """Standard deviations of probabilities underflow in float16."""
    teacher, student = (tf.cast(z, dtype) for z in uniform(50.0, (12, 5)))
    exact = [tf.cast(z, "float64").numpy() for z in (teacher, student)]
    expected, expected_gradient = dist(*exact, 4.0)
    values, gradient = run(DIST(4.0, reduction=None), teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert gradient.dtype == dtype
    assert norm_error(gradient, expected_gradient) < {"float16": 5e-4, "bfloat16": 4e-3}[dtype]


@pytest.mark.long_but_first
@pytest.mark.parametrize("jit_compile", [False, True])
def test_batch_size_shows_when_it_runs(jit_compile):
    """fit() traces with a batch size of None; the last replica may get an empty batch."""
    spec = tf.TensorSpec((None, 5))
    traced = tf.function(
        lambda t, s: run(DIST(4.0), t, s), input_signature=[spec, spec], jit_compile=jit_compile
    )
    teacher, student = uniform(50.0, (6, 5))
    expected, expected_gradient = dist(teacher, student, 4.0)
    value, gradient = traced(teacher, student)
    assert float(value) == pytest.approx(expected.mean(), rel=1e-5)
    assert norm_error(gradient, expected_gradient / 6) < 1e-5
    value, gradient = traced(teacher[:0], student[:0])
    assert float(value) == 0
    assert gradient.shape == (0, 5)


def test_teacher_gets_no_gradient():
    """A loss that may move the teacher pulls both models together, to nothing."""
    teacher, student = (tf.Variable(z) for z in uniform(5.0, (4, 6)))
    with tf.GradientTape() as tape:
        value = DIST()(teacher, student)
    gradients = tape.gradient(value, [teacher, student])
    assert gradients[0] is None
    assert np.any(gradients[1])


@pytest.mark.parametrize("name", ["inter_weight", "intra_weight"])
def test_bad_weights(name):
    """A negative weight teaches the opposite."""
    with pytest.raises(ValueError, match=f"{name} must be a finite number >= 0"):
        DIST(**{name: -0.5})


def test_temperature_schedule_and_round_trip():
    """The loss at a step keeps its weights; a reloaded one is the same."""
    schedule = keras.optimizers.schedules.PolynomialDecay(8.0, 100, 2.0)
    loss = DIST(schedule, inter_weight=2.0, intra_weight=3.0, reduction="sum", name="mine")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.get_config() == loss.get_config()
    teacher, student = uniform(5.0, (6, 5))
    expected, _ = dist(teacher, student, 5.0, 2.0, 3.0)
    assert float(restored.for_batch(step=50)(teacher, student)) == pytest.approx(
        expected.sum(), rel=1e-5
    )
    assert DIST().temperature == 1.0
