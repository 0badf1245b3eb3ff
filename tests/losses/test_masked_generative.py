"""MGD against its formula, with the masks that it drew."""

import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import uniform
from trained import convolution
from trained import run_oracle
from trained import run_trained

from keras_distill.losses import MaskedGenerative

SHAPE = (3, 5, 4, 6)
every_mask = pytest.mark.parametrize("masked", ["positions", "channels"])


def built(shape=SHAPE, **settings):
    loss = MaskedGenerative(reduction=None, **settings)
    loss(np.zeros(shape), np.zeros(shape))
    # Biases of zero would hide that they are left out.
    for weight in loss.generation.trainable_weights:
        weight.assign(uniform(0.5, weight.shape, seed=1)[0])
    return loss


def mask_of(loss, shape):
    """What the next call will draw, read from what the first convolution gets."""
    state = loss.generation.mask.seed_generator.state
    before = state.numpy()
    seen, network = [], loss.generation.first.call
    loss.generation.first.call = lambda features: seen.append(features) or network(features)
    loss.for_batch(training=True)(np.zeros(shape), np.ones(shape))
    loss.generation.first.call = network
    state.assign(before)
    return seen[0].numpy()


def generated_difference(mask):
    def oracle(teacher, student, weights):
        first, first_bias, second, second_bias = weights
        hidden = tf.nn.relu(convolution(mask * student, first, first_bias))
        difference = teacher - convolution(hidden, second, second_bias)
        return tf.reduce_sum(difference**2, axis=-1) / teacher.shape[-1]

    return oracle


@pytest.mark.parametrize("limit", [5.0, 1000.0])
@pytest.mark.parametrize("training", [True, False])
@every_mask
def test_value_and_gradients_are_exact(masked, training, limit):
    """By student and both convolutions; outside of training the mask is all ones."""
    teacher, student = uniform(limit, SHAPE)
    loss = built(masked=masked)
    mask = np.round(mask_of(loss, SHAPE)) if training else np.ones(SHAPE)
    part = loss.generation
    expected = run_oracle(generated_difference(mask), part, teacher, student)
    values, by_student, by_part = run_trained(loss, part, teacher, student, training)
    assert values.shape == SHAPE[:3]
    assert norm_error(values, expected[0]) < 1e-6
    assert norm_error(by_student, expected[1]) < 2e-6
    for actual, exact in zip(by_part, expected[2]):
        assert norm_error(actual, exact) < 2e-6


@pytest.mark.parametrize("mask_rate", [0.15, 0.65])
@every_mask
def test_masks(masked, mask_rate):
    """Of the right share, not rescaled, one for all channels or all positions, new every time."""
    shape = (16, 10, 10, 8) if masked == "positions" else (64, 2, 2, 32)
    loss = built(shape, masked=masked, mask_rate=mask_rate, seed=3)
    mask = mask_of(loss, shape)
    np.testing.assert_allclose(mask[mask > 0], 1.0, rtol=1e-6)
    assert np.mean(mask == 0) == pytest.approx(mask_rate, abs=0.05)
    shared_axes = (3,) if masked == "positions" else (1, 2)
    assert not np.ptp(mask, axis=shared_axes).any()
    assert np.ptp(mask, axis=0).any()
    loss.for_batch(training=True)(np.zeros(shape), np.ones(shape))
    assert not np.array_equal(mask_of(loss, shape), mask)


def test_rate_of_zero():
    """Nothing masked, in training as outside of it."""
    teacher, student = uniform(5.0, SHAPE)
    loss = built(mask_rate=0)
    values = loss.for_batch(training=True)(teacher, student)
    np.testing.assert_array_equal(values, loss(teacher, student))


def test_seed():
    """The same masks in every run with a seed, others without."""
    first, second = (built(seed=5) for _ in range(2))
    np.testing.assert_array_equal(mask_of(first, SHAPE), mask_of(second, SHAPE))
    first, second = (built(seed=None) for _ in range(2))
    assert not np.array_equal(mask_of(first, SHAPE), mask_of(second, SHAPE))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask_rate": 1}, r"mask_rate must be a rate in \[0, 1\)\. Received: mask_rate=1"),
        ({"mask_rate": -0.1}, r"mask_rate must be a rate in \[0, 1\)"),
        ({"seed": "a"}, "seed must be an integer of 0 or more.*Received: seed='a'"),
        ({"masked": "channel"}, "masked must be one of .*masked='channel'"),
    ],
)
def test_bad_arguments(settings, message):
    """All masked: nothing of the student is left to learn from."""
    with pytest.raises(ValueError, match=message):
        MaskedGenerative(**settings)


def test_features_that_are_no_images():
    """A 3x3 convolution of a pooled vector is none."""
    with pytest.raises(ValueError, match=r"MaskedGenerative compares images.*Received: \(2, 8\)"):
        MaskedGenerative()(np.ones((2, 8)), np.ones((2, 8)))
