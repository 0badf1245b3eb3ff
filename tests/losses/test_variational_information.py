"""VID against the Gaussian's density."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import uniform
from scipy.stats import norm
from trained import run_trained

from keras_distill.losses import VariationalInformation


def loss_with(alpha, **settings):
    loss = VariationalInformation(reduction=None, **settings)
    loss(np.zeros((1, len(alpha))), np.zeros((1, len(alpha))))
    loss.variance.alpha.assign(alpha)
    return loss


@pytest.mark.parametrize("shape", [(16, 1), (16, 5), (4, 3, 5), (2, 3, 3, 5)])
@pytest.mark.parametrize("limit", [5.0, 50.0, 1000.0])
def test_value_and_gradients_are_exact(limit, shape):
    """The oracle is SciPy's density; its derivatives by mean and alpha are in closed form."""
    teacher, student = uniform(limit, shape)
    alpha = np.linspace(-8.0, 60.0, shape[-1]).astype("float32")
    loss = loss_with(alpha)
    # From the alpha of float32, in float64.
    alpha = alpha.astype("float64")
    variance = np.logaddexp(0, alpha) + 1e-5
    t, s = teacher.astype("float64"), student.astype("float64")
    channels = shape[-1]
    log_density = norm.logpdf(t, loc=s, scale=np.sqrt(variance))
    # The paper leaves the density's constant out.
    expected = -np.mean(log_density, axis=-1) - np.log(2 * np.pi) / 2
    by_variance = (1 - (t - s) ** 2 / variance) / (2 * variance * channels)
    by_alpha = by_variance.reshape(-1, channels).sum(0) / (1 + np.exp(-alpha))
    values, by_student, (actual_by_alpha,) = run_trained(loss, loss.variance, teacher, student)
    assert values.shape == shape[:-1]
    assert norm_error(values, expected) < 1e-6
    assert norm_error(by_student, (s - t) / (variance * channels)) < 1e-6
    assert norm_error(actual_by_alpha, by_alpha) < 1e-5


def test_initial_variance():
    """The authors' 5, exactly, and what is asked for, from tiny to huge."""
    for settings, expected in (
        ({}, 5.0),
        ({"initial_variance": 1e-3}, 1e-3),
        ({"initial_variance": 1e4}, 1e4),
        ({"initial_variance": 0.2, "epsilon": 0.1}, 0.2),
    ):
        loss = VariationalInformation(reduction=None, **settings)
        values = loss(np.ones((1, 3)), np.ones((1, 3)))
        np.testing.assert_allclose(values, np.log(expected) / 2, rtol=1e-5)


def test_equal_features_pull_on_the_variance_only():
    """A student that has arrived must not be moved, and its variance shrinks."""
    features, _ = uniform(5.0, (8, 4))
    loss = loss_with(np.zeros(4, "float32"))
    _, by_student, (by_alpha,) = run_trained(loss, loss.variance, features, features)
    assert not np.any(by_student)
    assert (np.asarray(by_alpha) > 0).all()


def test_variance_becomes_the_squared_difference():
    """What the trained part is for: a channel that the student cannot know counts less."""
    x = np.random.default_rng(0).normal(size=(2048, 2)).astype("float32")
    noise = np.random.default_rng(1).normal(size=(2048, 2)) * [0.1, 2.0]
    loss = VariationalInformation()
    loss(x, x)
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([loss.variance.alpha])

    @tf.function
    def step():
        _, _, gradients = run_trained(loss, loss.variance, x + noise, x)
        optimizer.apply(gradients)

    for _ in range(200):
        step()
    np.testing.assert_allclose(
        loss.variance(x), np.mean(noise.astype("float32") ** 2, axis=0), rtol=1e-2
    )


def test_empty_batch_moves_nothing():
    """A replica gets one if the last batch is smaller than the number of replicas.

    The losses with convolutions have no such test: TensorFlow on oneDNN fails on a convolution of
    nothing, and so on the student, too.
    """
    loss = VariationalInformation()
    nothing = np.zeros((0, 4, 4, 3), "float32")
    value, by_student, (by_alpha,) = run_trained(loss, loss.variance, nothing, nothing)
    assert float(value) == 0
    assert by_student.shape == (0, 4, 4, 3)
    assert not np.any(by_alpha)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": 0}, r"epsilon must be a positive finite number\. Received: epsilon=0"),
        ({"epsilon": True}, "epsilon must be a positive finite number"),
        ({"initial_variance": 1e-6}, "initial_variance must be above epsilon"),
        ({"initial_variance": np.inf}, "initial_variance must be a positive finite number"),
        ({"initial_variance": "5"}, "initial_variance must be a positive finite number"),
    ],
)
def test_bad_arguments(settings, message):
    """A variance of 0 or below has no logarithm."""
    with pytest.raises(ValueError, match=message):
        VariationalInformation(**settings)
