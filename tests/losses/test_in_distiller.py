"""Every loss where it is used: it trains, is saved, goes on, and works on two devices."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import CASES
from cases import distiller_of
from cases import examples_of
from cases import teacher_of

from keras_distill import losses

every_case = pytest.mark.parametrize("name", CASES)


def fit(distiller, data, **kwargs):
    return distiller.fit(*data, shuffle=False, verbose=0, **kwargs).history


def weights_of(distiller):
    return [np.asarray(weight) for weight in distiller.get_weights()]


def test_every_public_loss_has_a_case():
    """A loss without one could be fine by itself and fail in the only place it is for."""
    classes = {name for name in losses.__all__ if isinstance(getattr(losses, name), type)}
    # The base of all, which computes nothing.
    classes.remove("DistillationLoss")
    assert {type(case.loss()).__name__ for case in CASES.values()} == classes


@every_case
@pytest.mark.long
def test_saved_and_reloaded_it_goes_on(name, tmp_path):
    """Parts of a loss that are not saved start anew, and nobody sees it."""
    case = CASES[name]
    data = examples_of(case)
    distiller = distiller_of(case, run_eagerly=True)
    first = fit(distiller, data, batch_size=4)
    assert np.isfinite(first["loss"]).all()
    distiller.save(tmp_path / "distiller.keras")
    keras.utils.set_random_seed(1)
    reloaded = keras.models.load_model(tmp_path / "distiller.keras")
    reloaded.teacher = teacher_of(case)
    reloaded.teacher.set_weights(distiller.teacher.get_weights())
    reloaded.run_eagerly = True
    for expected, actual in zip(weights_of(distiller), weights_of(reloaded)):
        np.testing.assert_array_equal(actual, expected)
    assert fit(reloaded, data, batch_size=4) == fit(distiller, data, batch_size=4)
    for expected, actual in zip(weights_of(distiller), weights_of(reloaded)):
        np.testing.assert_array_equal(actual, expected)


@every_case
@pytest.mark.long
def test_every_trained_part_learns(name):
    """A layer of a loss that the tape does not see stays noise."""
    case = CASES[name]
    data = examples_of(case)
    distiller = distiller_of(case, run_eagerly=True)
    fit(distiller, data, batch_size=4)
    before = [weight.numpy() for weight in distiller.trainable_weights]
    fit(distiller, data, batch_size=4)
    moved = {
        weight.path: np.any(weight.numpy() != value)
        for weight, value in zip(distiller.trainable_weights, before)
    }
    assert all(moved.values()), moved


@every_case
@pytest.mark.long
def test_student_in_half_precision(name):
    """Features of float16 overflow where a loss squares them."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        distiller = distiller_of(CASES[name], run_eagerly=True)
        history = fit(distiller, examples_of(CASES[name]), batch_size=4)
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(value).all() for value in weights_of(distiller))


@pytest.mark.long
@every_case
def test_two_devices_train_like_one(name, two_devices):
    """Both replicas see the same examples, so a step is that of one device on half the batch."""
    case = CASES[name]
    inputs, y = examples_of(case)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    half = tf.data.Dataset.from_tensor_slices((inputs, y)).batch(4).with_options(options)
    twice = half.map(
        lambda *batch: tf.nest.map_structure(lambda leaf: tf.concat([leaf, leaf], 0), batch)
    )
    one = distiller_of(case)
    expected = fit(one, [half], epochs=2)
    with two_devices.scope():
        two = distiller_of(case)
    history = fit(two, [twice], epochs=2)
    assert np.isfinite(history["loss"]).all()
    if not case.is_random:
        np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)
        for weight, value in zip(weights_of(two), weights_of(one)):
            np.testing.assert_allclose(weight, value, atol=1e-5)
