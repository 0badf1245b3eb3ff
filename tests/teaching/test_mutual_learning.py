"""Mutual learning: the paper's losses and gradients, of two peers and more."""

import keras
import linear
import numpy as np
import pytest

from keras_distill import losses
from keras_distill.teaching import MutualLearning


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    ("num_peers", "weighted", "run_eagerly"), [(2, False, True), (3, True, False)]
)
def test_value_and_gradient(num_peers, weighted, run_eagerly):
    """A gradient to the peer that teaches, or a sum in place of the mean, would go unseen."""
    model = linear.mutual_learning(num_peers)
    linear.spread(model.models.values(), scale=2.0)
    x, n = linear.X.astype("float64"), len(linear.X)
    weights = linear.WEIGHTS if weighted else np.ones(n)
    logits = {name: linear.affine(x, peer) for name, peer in model.models.items()}
    history, gradients = linear.step(model, run_eagerly, sample_weight=weights)
    expected_loss = 0.0
    for name, z in logits.items():
        others = [other for key, other in logits.items() if key != name]
        hard = (weights * linear.cross_entropy(z, linear.Y)).mean()
        soft = (weights * np.mean([linear.kl(other, z) for other in others], axis=0)).mean()
        np.testing.assert_allclose(history[f"{name}_loss"], hard, rtol=1e-6)
        np.testing.assert_allclose(history[f"{name}_soft_loss"], soft, rtol=1e-6)
        expected_loss += hard + soft
        q = linear.softmax(z)
        taught = np.mean([q - linear.softmax(other) for other in others], axis=0)
        gradient = weights[:, None] * (q - np.eye(linear.CLASSES)[linear.Y] + taught) / n
        kernel, bias = model.models[name].trainable_variables
        np.testing.assert_allclose(gradients[kernel.path], x.T @ gradient, atol=1e-6)
        np.testing.assert_allclose(gradients[bias.path], gradient.sum(axis=0), atol=1e-6)
    np.testing.assert_allclose(history["loss"], expected_loss, rtol=1e-6)


def test_equal_peers_teach_nothing():
    """Their soft loss is 0, and they stay equal, as if each were alone."""
    model = linear.mutual_learning()
    first, second = model.models.values()
    second.set_weights(first.get_weights())
    history, gradients = linear.step(model, run_eagerly=True)
    assert history["peer_0_soft_loss"] == history["peer_1_soft_loss"] == 0
    alone = linear.stack(6, linear.CLASSES, name="alone")
    alone.set_weights([w + gradients[v.path] for w, v in zip(first.get_weights(), first.variables)])
    _, expected = linear.step(alone, run_eagerly=True)
    for gradient, of_alone in zip(gradients.values(), 2 * list(expected.values())):
        np.testing.assert_allclose(gradient, of_alone, atol=1e-6)


@pytest.mark.long
def test_weight_is_a_schedule():
    """A schedule that is read once would stay at its first value."""
    model = linear.mutual_learning()
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.0, 3.0])
    scheduled = MutualLearning(list(model.models.values()), weight=schedule)
    history, _ = linear.step(scheduled, epochs=2)
    parts = [[f"peer_{i}_loss" for i in range(2)], [f"peer_{i}_soft_loss" for i in range(2)]]
    hard, soft = (sum(history[name] for name in names) for names in parts)
    np.testing.assert_allclose(history["loss"], hard, rtol=1e-6)
    values = scheduled.evaluate(linear.X, linear.Y, verbose=0, return_dict=True)
    hard, soft = (sum(values[name] for name in names) for names in parts)
    np.testing.assert_allclose(values["loss"], hard + 3 * soft, rtol=1e-6)


def test_peers_that_end_in_a_softmax():
    """Taken for logits, probabilities would give a soft loss near 0."""
    logits = linear.mutual_learning()
    linear.spread(logits.models.values(), scale=2.0)
    peers = [
        keras.Model(peer.inputs, keras.layers.Softmax()(peer.outputs[0]), name=name)
        for name, peer in logits.models.items()
    ]
    values = []
    for model, from_logits in ((logits, True), (MutualLearning(peers), False)):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
        model.compile("sgd", loss, run_eagerly=True)
        values.append(model.evaluate(linear.X, linear.Y, verbose=0, return_dict=True))
    for name, value in values[0].items():
        np.testing.assert_allclose(values[1][name], value, rtol=1e-5, err_msg=name)


@keras.saving.register_keras_serializable(package="test")
class Opaque(keras.Model):
    """A subclassed model, whose last layer does not tell that its outputs are probabilities."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.head = keras.layers.Dense(linear.CLASSES, "softmax")

    def call(self, inputs):
        return self.head(inputs)


def test_peers_of_which_no_layer_tells_what_they_give():
    """Probabilities taken for logits would train, to a worse student."""
    peers = [Opaque(name="left"), Opaque(name="right")]
    for peer in peers:
        peer(linear.X)
    model = MutualLearning(peers)
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile("sgd", loss, run_eagerly=True)
    with pytest.raises(ValueError, match=r"'right' looks like probabilities|'left' looks like"):
        model.fit(linear.X, linear.Y, verbose=0)
    declared = losses.SoftTargetKL(1.0, teacher_from_logits=False, student_from_logits=False)
    model = MutualLearning(peers, soft_loss=declared)
    model.compile("sgd", loss, run_eagerly=True)
    assert np.isfinite(model.fit(linear.X, linear.Y, verbose=0).history["loss"]).all()
    assert model.student("left") is peers[0]
