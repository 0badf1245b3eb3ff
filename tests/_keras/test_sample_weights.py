"""Sample weights against NumPy, and against a loop over the examples."""

import numpy as np
import pytest
import tensorflow as tf

from keras_distill._keras.masks import fit_weights
from keras_distill.losses import FeatureMSE


def test_none():
    """No weights are no weights, not ones."""
    assert fit_weights(None, 2) is None


@pytest.mark.parametrize(
    ("shape", "rank", "expected"),
    [
        ((4,), 1, (4,)),
        ((4,), 2, (4, 1)),
        ((4,), 3, (4, 1, 1)),
        ((4, 5), 2, (4, 5)),
        ((4, 5), 3, (4, 5, 1)),
    ],
)
def test_missing_axes_are_appended(shape, rank, expected):
    """Keras aligns the batch with the last axis: each weight would go to another token."""
    weights = np.random.default_rng(0).uniform(size=shape)
    fitted = fit_weights(weights, rank)
    assert fitted.shape == expected
    np.testing.assert_allclose(np.ravel(fitted), np.ravel(weights), rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "rank", "axes"), [((4, 5), 1, (1,)), ((4, 5, 6), 1, (1, 2)), ((4, 5, 6), 2, (2,))]
)
def test_more_axes_than_the_values(shape, rank, axes):
    """Token weights and one value per example: the mean of its tokens."""
    weights = np.random.default_rng(0).uniform(size=shape).astype("float32")
    fitted = fit_weights(weights, rank)
    np.testing.assert_allclose(fitted, weights.mean(axis=axes), rtol=1e-6)


@pytest.mark.parametrize("num_steps", [3, 4])
def test_weight_per_example_holds_for_each_token(num_steps):
    """With as many tokens as examples the wrong product raises no error at all."""
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 3, num_steps, 5)).astype("float32")
    weights = np.array([0.0, 1.0, 3.0])
    value = FeatureMSE()(teacher, student, fit_weights(weights, 2))
    expected = np.mean([w * np.mean((t - s) ** 2) for w, t, s in zip(weights, teacher, student)])
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_unknown_batch_size():
    """fit() traces with None."""
    fitted = tf.function(
        lambda weights: fit_weights(weights, 3), input_signature=[tf.TensorSpec((None,))]
    )
    assert fitted(np.ones(4)).shape == (4, 1, 1)


@pytest.mark.parametrize("weights", [[1.0, 2.0], (1.0, 2.0), np.array([1, 2]), tf.constant([1, 2])])
def test_lists_arrays_and_tensors(weights):
    """Whatever the data set yields."""
    np.testing.assert_array_equal(fit_weights(weights, 2), [[1], [2]])


@pytest.mark.parametrize("weights", [np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]])
def test_mean_of_integer_weights(weights):
    """Integer division would round the weights."""
    np.testing.assert_allclose(fit_weights(weights, 1), [1.5, 3.5])
