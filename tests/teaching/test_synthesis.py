"""Inputs made from statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill import Distiller
from keras_distill.teaching import record_statistics
from keras_distill.teaching import synthesize

RNG = np.random.default_rng(6)
X = RNG.uniform(0.0, 2.0, size=(60, 5)).astype("float32")
Y = np.arange(60) % 3


def network():
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(6, "relu", name="hidden"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(3, name="logits"),
        ]
    )


@pytest.fixture(scope="module")
def teacher():
    keras.utils.set_random_seed(1)
    model = network()
    model.get_layer("logits").kernel.assign(RNG.normal(size=(6, 3)))
    return model


@pytest.fixture(scope="module")
def statistics(teacher):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    return record_statistics(teacher, data, ["hidden", "logits"])


def test_activations_come_to_the_targets(teacher, statistics):
    """Noise that stays noise, batches that mix up their targets, a teacher that learns."""
    before = [weight.copy() for weight in teacher.get_weights()]
    x = synthesize(teacher, statistics, 12, num_steps=200, batch_size=5, seed=3)
    noise = synthesize(teacher, statistics, 12, num_steps=1, learning_rate=1e-9, seed=3)
    classes = np.arange(12) % 3
    targets = statistics.draw(classes, np.random.default_rng(3))

    def errors(x):
        taps = keras.Model(teacher.inputs, [teacher.get_layer(tap).output for tap in targets])
        made = taps.predict(x, verbose=0)
        return sum(
            np.mean((a - t) ** 2, axis=1) / np.diagonal(c, axis1=1, axis2=2).mean()
            for a, t, c in zip(made, targets.values(), statistics.covariances.values())
        )

    assert (errors(x) < errors(noise) + 1e-6).all()
    assert errors(x).mean() < 0.5 * errors(noise).mean()
    assert x.min() >= X.min()
    assert x.max() <= X.max()
    for weight, old in zip(teacher.get_weights(), before):
        np.testing.assert_array_equal(weight, old)


def test_a_step_is_adams(teacher, statistics):
    """The gradient of another loss, of the mean over the batch, or of a dropped-out teacher."""
    x = synthesize(teacher, statistics, 6, num_steps=1, learning_rate=1e-3, seed=5)
    rng = np.random.default_rng(5)
    targets = statistics.draw(np.arange(6) % 3, rng)
    inputs = statistics.inputs
    noise = rng.normal(inputs["mean"], inputs["deviation"], (6, 5))
    noise = noise.clip(inputs["lowest"], inputs["highest"])
    hidden, scaling, logits = (
        [w.astype("float64") for w in layer.get_weights()]
        for layer in (teacher.layers[0], teacher.layers[1], teacher.layers[3])
    )
    gamma, beta, mean, variance = scaling
    v = {t: np.diagonal(c, axis1=1, axis2=2).mean() for t, c in statistics.covariances.items()}
    before = noise @ hidden[0] + hidden[1]
    h = np.maximum(before, 0)
    slope = gamma / np.sqrt(variance + teacher.layers[1].epsilon)
    z = ((h - mean) * slope + beta) @ logits[0] + logits[1]
    to_h = 2 * (h - targets["hidden"]) / 6 / v["hidden"]
    to_h += (2 * (z - targets["logits"]) / 3 / v["logits"]) @ logits[0].T * slope
    gradient = (to_h * (before > 0)) @ hidden[0].T
    expected = noise - 1e-3 * gradient / (np.abs(gradient) + 1e-7)
    expected = expected.clip(inputs["lowest"], inputs["highest"])
    np.testing.assert_allclose(x, expected, atol=2e-6)


def test_the_seed_decides_and_the_batch_size_does_not(teacher, statistics):
    """An example must not depend on its neighbours, nor on chance."""
    x = synthesize(teacher, statistics, 7, num_steps=20, batch_size=3, seed=1)
    assert x.shape == (7, 5)
    assert x.dtype == "float32"
    same = synthesize(teacher, statistics, 7, num_steps=20, batch_size=64, seed=1)
    np.testing.assert_allclose(x, same, atol=1e-5)
    other = synthesize(teacher, statistics, 7, num_steps=20, batch_size=3, seed=2)
    assert np.abs(x - other).max() > 0.1


def test_a_distiller_takes_them(teacher, statistics):
    """What is made is data like any other."""
    x = synthesize(teacher, statistics, 8, num_steps=5)
    distiller = Distiller(student=network(), teacher=teacher, alpha=0.0)
    distiller.compile("adam", run_eagerly=True)
    assert np.isfinite(distiller.fit(x, verbose=0).history["soft_loss"]).all()


def test_bad_input(teacher, statistics):
    """Each would give inputs that mean nothing, or fail far from its cause."""
    with pytest.raises(ValueError, match="statistics must be those of this teacher"):
        synthesize(network(), statistics, 4)
    with pytest.raises(ValueError, match="statistics must be what record_statistics"):
        synthesize(teacher, {"logits": 0}, 4)
    open_end = keras.Sequential([keras.Input((None, 5)), layers.Dense(3, name="logits")])
    data = tf.data.Dataset.from_tensor_slices((X[:, None], Y)).batch(16)
    with pytest.raises(ValueError, match="teacher must start with one keras"):
        synthesize(open_end, record_statistics(open_end, data, ["logits"]), 4)
    for setting in ({"num_examples": 0}, {"num_steps": 0}, {"batch_size": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(setting))} must be an integer"):
            synthesize(teacher, statistics, **{"num_examples": 4, **setting})
    with pytest.raises(ValueError, match="learning_rate must be a positive"):
        synthesize(teacher, statistics, 4, learning_rate=0.0)
