"""The generator's losses against float64 formulas written from the paper."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax
from scipy.special import logsumexp

from keras_distill.teaching.data_free.generator_losses import activation_loss
from keras_distill.teaching.data_free.generator_losses import entropy_loss
from keras_distill.teaching.data_free.generator_losses import one_hot_loss

every_limit = pytest.mark.parametrize("limit", [5.0, 50.0, 1000.0])


def uniform(limit, shape=(6, 4)):
    values = np.random.default_rng(2).uniform(-limit, limit, shape)
    # What float32 can hold, so that both sides compute the same.
    return values.astype("float32").astype("float64")


def run(loss, x, jit_compile=None):
    """Value and gradient of the sum, in a function of unknown batch size."""

    @tf.function(jit_compile=jit_compile, input_signature=[tf.TensorSpec((None, *x.shape[1:]))])
    def value_and_gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x)
            total = tf.reduce_sum(value)
        return value, tape.gradient(total, x)

    return [tensor.numpy() for tensor in value_and_gradient(tf.constant(x, "float32"))]


def assert_close(found, expected):
    assert found.shape == np.shape(expected)
    # A probability near 1 has the accuracy of a float32 near 1.
    assert np.linalg.norm(found - expected) <= 1e-6 * max(np.linalg.norm(expected), 0.2)


@every_limit
def test_one_hot(limit):
    """A cross-entropy of the labels instead of the teacher's own class would be another loss."""
    logits = uniform(limit)
    value, gradient = run(one_hot_loss, logits)
    log_p, own = log_softmax(logits, axis=1), logits.argmax(axis=1)
    assert_close(value, -log_p[np.arange(6), own])
    assert_close(gradient, np.exp(log_p) - np.eye(4)[own])


@every_limit
def test_activation(limit):
    """A sum instead of the mean would tie the weight to the layer's width."""
    features = uniform(limit, (5, 3, 2, 4))
    value, gradient = run(activation_loss, features)
    expected = [-np.mean([abs(a) for a in one.reshape(-1)]) for one in features]
    assert_close(value, expected)
    assert_close(gradient, -np.sign(features) / 24)


def entropy_of(logits):
    log_p = log_softmax(logits, axis=1)
    log_mean = logsumexp(log_p, axis=0) - np.log(len(logits))
    value = sum(np.exp(log_mean) * log_mean) / np.log(logits.shape[1])
    p, slope = np.exp(log_p), log_mean + 1
    gradient = p * (slope - (p * slope).sum(axis=1, keepdims=True))
    return value, gradient / len(logits) / np.log(logits.shape[1])


@every_limit
def test_entropy(limit):
    """The mean of the entropies, instead of the entropy of the mean, would undo the one-hot loss.

    A class that no example has, with a probability of 0 in float32, would give NaN.
    """
    logits = uniform(limit)
    logits[:, 2] = -limit
    value, gradient = run(entropy_loss, logits)
    expected = entropy_of(logits)
    assert_close(value, expected[0])
    assert_close(gradient, expected[1])


def test_entropy_is_between_one_class_and_all():
    """Its scale does not depend on the number of classes."""
    for classes in (2, 10, 100):
        assert_close(run(entropy_loss, 50.0 * np.eye(classes))[0], -1.0)
        one = np.tile(50.0 * np.eye(classes)[:1], (classes, 1))
        assert abs(run(entropy_loss, one)[0]) < 1e-6


def test_entropy_of_ten_classes_is_that_of_the_authors_code():
    """Logarithms to the base 10, which weight 5 belongs to."""
    logits = uniform(5.0, (20, 10))
    p = np.exp(log_softmax(logits, axis=1)).mean(axis=0)
    assert_close(run(entropy_loss, logits)[0], np.sum(p * np.log10(p)))


@pytest.mark.parametrize("loss", [one_hot_loss, activation_loss, entropy_loss])
def test_compiled_by_xla_and_of_float16(loss):
    """Sums in float16 would overflow, or lose what is small."""
    logits = uniform(50.0)
    value, gradient = run(loss, logits)
    for one, other in zip(run(loss, logits, jit_compile=True), (value, gradient)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    half = tf.constant(logits, "float16")
    np.testing.assert_allclose(loss(half), loss(tf.cast(half, "float32")), rtol=1e-6)
    assert loss(half).dtype == tf.float32
