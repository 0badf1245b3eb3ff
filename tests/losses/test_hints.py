"""The feature losses against closed forms."""

import numpy as np
import oracles
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform

from keras_distill.losses import FeatureCosine
from keras_distill.losses import FeatureMSE

ORACLES = {FeatureMSE: oracles.mean_squared_error, FeatureCosine: oracles.cosine}

every_loss = pytest.mark.parametrize("loss_class", ORACLES)


@pytest.mark.parametrize("shape", [(32, 1), (32, 16), (4, 5, 16), (2, 3, 3, 8)])
@pytest.mark.parametrize("limit", [5.0, 50.0, 1000.0])
@every_loss
def test_value_and_gradient_are_exact(loss_class, limit, shape):
    """A mean over the wrong axis would weigh a wide layer more than a narrow one."""
    teacher, student = uniform(limit, shape)
    expected, expected_gradient = ORACLES[loss_class](teacher, student)
    values, gradient = run(loss_class(reduction=None), teacher, student)
    assert values.shape == shape[:-1]
    assert norm_error(values, expected) < 1e-6
    if np.linalg.norm(expected_gradient) > 1e-6:
        assert norm_error(gradient, expected_gradient) < 1e-6
    else:
        # A cosine of numbers: its gradient is 0 up to the rounding of 1 / student.
        np.testing.assert_allclose(np.asarray(gradient) * student, 0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("limit", [5.0, 50.0, 1000.0])
@every_loss
def test_half_precision_features(loss_class, limit, dtype):
    """(1000)^2 is inf in float16; hidden layers reach that."""
    teacher, student = (tf.cast(z, dtype) for z in uniform(limit, (32, 16)))
    exact = [tf.cast(z, "float64").numpy() for z in (teacher, student)]
    expected, expected_gradient = ORACLES[loss_class](*exact)
    values, gradient = run(loss_class(reduction=None), teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    assert gradient.dtype == dtype
    # float16 gradients of the cosine are subnormal for features of 1000.
    precision = {"float16": 2e-3, "bfloat16": 4e-3}[dtype]
    assert norm_error(gradient, expected_gradient) < precision


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e12, 1e30])
def test_cosine_of_tiny_and_huge_vectors(size):
    """The squared norm of such vectors under- or overflows: 0 / 0, or a cosine of 0."""
    teacher, student = uniform(1.0, (32, 16))
    expected, expected_gradient = oracles.cosine(teacher, student)
    scale = np.float32(size)
    values, gradient = run(FeatureCosine(reduction=None), teacher * scale, student * scale)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(np.asarray(gradient) * scale, expected_gradient) < 1e-6


@pytest.mark.parametrize("angle", [1e-2, 1e-3, 1e-4])
def test_cosine_of_almost_parallel_vectors(angle):
    """1 - cosine cancels in float32: from 1e-4 on the loss would be 0 or negative."""
    teacher = np.array([[1.0, 0.0], [0.0, 3.0]], "float32")
    student = np.array([[1.0, angle], [-3 * angle, 3.0]], "float32")
    values, gradient = run(FeatureCosine(reduction=None), teacher, student)
    slope = np.float64(np.float32(angle))
    expected = -np.expm1(-0.5 * np.log1p(slope**2))
    np.testing.assert_allclose(values, [expected] * 2, rtol=1e-4)
    # Only the component across the teacher pulls, towards it.
    _, expected_gradient = oracles.cosine(teacher, student)
    assert norm_error(gradient, expected_gradient) < 1e-4


def test_cosine_of_the_same_and_the_opposite_direction():
    """0 and 2, whatever the lengths."""
    teacher = np.array([[3.0, 4.0], [3.0, 4.0]], "float32")
    student = np.array([[0.3, 0.4], [-30.0, -40.0]], "float32")
    np.testing.assert_allclose(FeatureCosine(reduction=None)(teacher, student), [0, 2], atol=1e-6)


@pytest.mark.parametrize("zero", ["teacher", "student", "both"])
def test_cosine_of_a_zero_vector(zero):
    """Padding and dead ReLUs are zeros: 0 / 0 would turn every weight into NaN."""
    teacher, student = uniform(1.0, (2, 4))
    if zero != "student":
        teacher[0] = 0
    if zero != "teacher":
        student[0] = 0
    values, gradient = run(FeatureCosine(reduction=None), teacher, student)
    expected, expected_gradient = oracles.cosine(teacher[1:], student[1:])
    np.testing.assert_allclose(values, [1, *expected], rtol=1e-5)
    assert not np.any(gradient[0])
    np.testing.assert_allclose(gradient[1:], expected_gradient, rtol=1e-4, atol=1e-6)


@every_loss
def test_compiled_by_xla(loss_class):
    """The same number where XLA fuses the operations."""
    teacher, student = uniform(50.0, (32, 16))
    compiled = tf.function(lambda t, s: run(loss_class(reduction=None), t, s), jit_compile=True)
    values, gradient = compiled(tf.constant(teacher), tf.constant(student))
    expected, expected_gradient = ORACLES[loss_class](teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6
