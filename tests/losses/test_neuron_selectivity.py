"""The discrepancy of neuron selectivity patterns against loops over pairs of channels."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform

from keras_distill import Objective
from keras_distill.losses import NeuronSelectivity


def patterns(features):
    """Of one example, `(positions, channels)`."""
    channels = [features[..., c].ravel() for c in range(features.shape[-1])]
    # By products, not by abs: the numbers may be complex.
    return [channel / np.sqrt(np.sum(channel * channel)) for channel in channels]


def discrepancy(teacher, student, degree):
    """Of one example."""

    def mean_kernel(some, others):
        kernels = [np.sum(a * b) ** degree for a in some for b in others]
        return sum(kernels) / len(kernels)

    teacher, student = patterns(teacher), patterns(student)
    return (
        mean_kernel(teacher, teacher)
        + mean_kernel(student, student)
        - 2 * mean_kernel(teacher, student)
    )


def expected_of(teacher, student, degree):
    """Values, and the gradient of their sum by steps along the imaginary axis, in float64."""
    teacher, student = (np.asarray(x, "float64") for x in (teacher, student))
    values = [discrepancy(*pair, degree) for pair in zip(teacher, student)]
    gradient = np.zeros(student.shape)
    for place in np.ndindex(student.shape):
        example = student[place[0]].astype("complex128")
        step = 1e-20 * np.max(np.abs(example))
        example[place[1:]] += 1j * step
        gradient[place] = discrepancy(teacher[place[0]], example, degree).imag / step
    return np.array(values), gradient


every_degree = pytest.mark.parametrize("degree", [1, 2, 3])


@every_degree
@pytest.mark.parametrize(
    ("limit", "teacher_shape", "student_shape"),
    [
        (1e-20, (2, 2, 3, 4), (2, 2, 3, 3)),
        (5.0, (2, 6, 2), (2, 6, 5)),
        (1000.0, (2, 2, 3, 4), (2, 2, 3, 3)),
        (1e20, (2, 4, 1), (2, 4, 1)),
    ],
)
def test_value_and_gradient_are_exact(limit, teacher_shape, student_shape, degree):
    """Channels and positions change places easily, and squares of 1e20 overflow."""
    teacher, student = uniform(1.0, teacher_shape)[0], uniform(1.0, student_shape, seed=1)[1]
    scale = np.float32(limit)
    expected, expected_gradient = expected_of(teacher * scale, student * scale, degree)
    values, gradient = run(
        NeuronSelectivity(degree, reduction=None), teacher * scale, student * scale
    )
    assert values.dtype == "float32"
    assert values.shape == (2,)
    assert norm_error(values, expected) < 1e-6
    # In units of the features, as the norm of 1e-20 squared has no digits.
    assert norm_error(np.asarray(gradient) * scale, expected_gradient * scale) < 1e-6


def test_linear_kernel_compares_the_mean_patterns():
    """The paper's view of it as a kind of attention transfer."""
    teacher, student = uniform(2.0, (3, 2, 4, 5))
    expected = [
        np.sum((np.mean(patterns(t), axis=0) - np.mean(patterns(s), axis=0)) ** 2)
        for t, s in zip(teacher.astype("float64"), student.astype("float64"))
    ]
    values = NeuronSelectivity(degree=1, reduction=None)(teacher, student)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_polynomial_kernel_compares_the_products_of_positions():
    """The paper's view of it as a Gram matrix of the positions, averaged over the channels."""
    teacher, student = uniform(2.0, (3, 2, 4, 5))
    expected = []
    for pair in zip(teacher.astype("float64"), student.astype("float64")):
        grams = [np.mean([np.outer(f, f) for f in patterns(features)], axis=0) for features in pair]
        expected.append(np.sum((grams[0] - grams[1]) ** 2))
    np.testing.assert_allclose(
        NeuronSelectivity(reduction=None)(teacher, student), expected, rtol=1e-6
    )


@every_degree
def test_zero_for_permuted_and_repeated_channels(degree):
    """Which channel sees a pattern does not matter, nor how strongly it responds."""
    teacher, other = uniform(50.0, (3, 4, 4, 6))
    strength = np.array([1, 5, 0.1, 3, 1000, 2], "float32")
    student = (teacher * strength)[..., [3, 1, 0, 5, 4, 2]]
    for features in (teacher, student, np.concatenate([student, student], axis=-1)):
        values, gradient = run(NeuronSelectivity(degree, reduction=None), teacher, features)
        np.testing.assert_allclose(values, 0, atol=1e-13)
        np.testing.assert_allclose(gradient * np.abs(features), 0, atol=1e-7)
    assert np.all(NeuronSelectivity(degree, reduction=None)(teacher, other).numpy() > 1e-3)


@every_degree
def test_silent_channels(degree):
    """A dead ReLU has the norm 0: 0 / 0 would turn every weight into NaN."""
    teacher, student = uniform(2.0, (2, 4, 4, 3))
    student[0, ..., 1] = 0
    student[1] = 0
    teacher[0, ..., 2] = 0
    values, gradient = run(NeuronSelectivity(degree, reduction=None), teacher, student)
    assert np.isfinite(values).all()
    assert np.isfinite(gradient).all()
    assert not np.any(gradient[0, ..., 1])
    assert not np.any(gradient[1])
    # Nothing but the teacher's own term is left.
    own = np.mean([[np.sum(a * b) ** degree for a in p] for p in [patterns(teacher[1])] for b in p])
    assert float(values[1]) == pytest.approx(own, rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    """The square of 1000 is inf in float16."""
    teacher, student = (tf.cast(x, dtype) for x in uniform(1000.0, (2, 2, 3, 4)))
    exact = [tf.cast(x, "float64").numpy() for x in (teacher, student)]
    expected, _ = expected_of(*exact, degree=2)
    values, gradient = run(NeuronSelectivity(reduction=None), teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    assert gradient.dtype == dtype
    assert np.isfinite(tf.cast(gradient, "float32")).all()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_function_of_any_batch(jit_compile):
    """As fit() traces it, with widths that differ."""
    teacher, student = uniform(2.0, (2, 2, 3, 4))
    student = student[..., :3]
    specs = [tf.TensorSpec((None, None, None, 4)), tf.TensorSpec((None, None, None, 3))]
    loss = NeuronSelectivity(reduction=None)
    traced = tf.function(
        lambda t, s: run(loss, t, s), input_signature=specs, jit_compile=jit_compile
    )
    expected, expected_gradient = expected_of(teacher, student, degree=2)
    values, gradient = traced(teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6
    for wrong in (teacher[:1], teacher[:, :1], teacher[:, :, :1]):
        # They would broadcast.
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            traced(wrong, student)


def test_empty_batch_counts_zero():
    """A replica gets one if the last batch is smaller than the number of replicas."""
    spec = tf.TensorSpec((None, 2, 3, 4))
    traced = tf.function(lambda t, s: run(NeuronSelectivity(), t, s), input_signature=[spec] * 2)
    value, gradient = traced(tf.zeros((0, 2, 3, 4)), tf.zeros((0, 2, 3, 4)))
    assert float(value) == 0
    assert gradient.shape == (0, 2, 3, 4)


def test_teacher_gets_no_gradient():
    """Both models would meet at nothing."""
    teacher, student = (tf.Variable(x) for x in uniform(2.0, (2, 2, 3, 4)))
    with tf.GradientTape() as tape:
        value = NeuronSelectivity()(teacher, student)
    gradients = tape.gradient(value, [teacher, student])
    assert gradients[0] is None
    assert np.any(gradients[1])


def test_masked_positions_do_not_count():
    """Padding is no pattern, and values for each example have no place for a mask of tokens."""
    teacher, student = (tf.Variable(x) for x in uniform(2.0, (3, 5, 4)))
    lengths = [5, 3, 1]
    with tf.GradientTape() as tape:
        features = tf.identity(student)
        features._keras_mask = tf.sequence_mask(lengths, 5)
        values = NeuronSelectivity(reduction=None)(teacher, features)
    for example, length in enumerate(lengths):
        kept = [x[example : example + 1, :length] for x in (teacher, student)]
        alone = NeuronSelectivity(reduction=None)(*kept)
        np.testing.assert_allclose(values[example], alone[0], rtol=1e-6, atol=1e-12)
    gradient = tape.gradient(values, student).numpy()
    assert not np.any(gradient[1, 3:])
    assert np.all(gradient[1, :3])


def test_mask_of_rows():
    """A mask of fewer axes holds for all positions behind it."""
    teacher, student = uniform(2.0, (2, 4, 3, 5))
    features = tf.constant(student)
    features._keras_mask = tf.constant([[True, True, False, False]] * 2)
    np.testing.assert_allclose(
        NeuronSelectivity()(teacher, features),
        NeuronSelectivity()(teacher[:, :2], student[:, :2]),
        rtol=1e-6,
    )


def test_weights_are_of_the_examples():
    """Weights per token on one value per example: an Objective takes their mean."""
    teacher, student = uniform(2.0, (3, 5, 4))
    values = NeuronSelectivity(reduction=None)(teacher, student).numpy()
    weights = np.array([1.0, 0.0, 2.0], "float32")
    expected = pytest.approx(np.sum(values * weights) / 3, rel=1e-6)
    assert float(NeuronSelectivity()(teacher, student, weights)) == expected
    objective = Objective(NeuronSelectivity(), teacher_layer="a", student_layer="a")
    per_token = np.repeat(weights[:, None], 5, axis=1)
    for given in (weights, per_token):
        hint = tf.constant(student)
        assert float(objective(tf.constant(teacher), hint, sample_weight=given)) == expected


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        ((2, 4), (2, 4)),
        ((2, 4, 4, 3), (2, 2, 2, 3)),
        ((2, 16, 3), (2, 4, 4, 3)),
        ((1, 4, 3), (2, 4, 3)),
    ],
)
def test_positions_that_differ(teacher, student):
    """A map of 4x4 against 2x2 has no common positions; 1 against 2 examples broadcasts."""
    message = r"NeuronSelectivity compares features of the same positions.*Received: teacher \("
    with pytest.raises(ValueError, match=message):
        NeuronSelectivity()(np.ones(teacher), np.ones(student))


@pytest.mark.parametrize("degree", [0, -1, 1.5, True, "linear", None])
def test_degree_out_of_range(degree):
    """A degree of 0 makes every kernel 1 and the loss 0."""
    with pytest.raises(ValueError, match="degree must be an integer of 1 or more"):
        NeuronSelectivity(degree)


def test_round_trip():
    """A reloaded Distiller goes on with the same kernel."""
    loss = NeuronSelectivity(degree=1, reduction="sum", name="mine")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.degree == 1
    assert restored.get_config() == loss.get_config()
