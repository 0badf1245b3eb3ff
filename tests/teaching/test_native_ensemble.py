"""ONE: the gate, the ensemble and what each of them learns from."""

import keras
import linear
import numpy as np
import tensorflow as tf
from keras import layers

from keras_distill.teaching import NativeEnsemble


def naive_loss(trunk, branches, gate, weights):
    """The paper's loss in float64; the gate is Dense, batch normalization, ReLU, softmax."""
    hidden = tf.constant(linear.X, "float64") @ trunk[0] + trunk[1]
    scores = hidden @ gate[0] + gate[1]
    mean, variance = tf.nn.moments(scores, axes=[0])
    scores = gate[2] * (scores - mean) / tf.sqrt(variance + 1e-3) + gate[3]
    shares = tf.nn.softmax(tf.nn.relu(scores))
    logits = [hidden @ kernel + bias for kernel, bias in branches]
    ensemble = sum(shares[:, i, None] * z for i, z in enumerate(logits))
    labels = tf.one_hot(linear.Y, linear.CLASSES, dtype="float64")
    total = 0.0
    for z in [*logits, ensemble]:
        hard = -tf.reduce_sum(labels * tf.nn.log_softmax(z), axis=-1)
        total += tf.reduce_mean(weights * hard)
    p = tf.stop_gradient(tf.nn.softmax(ensemble / 3))
    for z in logits:
        divergence = tf.reduce_sum(p * (tf.math.log(p) - tf.nn.log_softmax(z / 3)), axis=-1)
        total += 9 * tf.reduce_mean(weights * divergence)
    return total


def test_value_and_gradient():
    """A soft loss that trains the gate would move the ensemble to its branches."""
    model = linear.native_ensemble()
    linear.spread([model.trunk, *model.models.values()], scale=1.0)
    parts = [model.trunk, *model.models.values(), model.gate]
    values = [
        [tf.Variable(v.numpy().astype("float64")) for v in part.trainable_variables]
        for part in parts
    ]
    with tf.GradientTape() as tape:
        total = naive_loss(values[0], values[1:-1], values[-1], linear.WEIGHTS.astype("float64"))
    expected = tape.gradient(total, values)
    history, gradients = linear.step(model, sample_weight=linear.WEIGHTS)
    np.testing.assert_allclose(history["loss"], total, rtol=1e-6)
    for part, of_part in zip(parts, expected):
        for variable, gradient in zip(part.trainable_variables, of_part):
            np.testing.assert_allclose(
                gradients[variable.path], gradient, atol=2e-6, err_msg=variable.path
            )


def test_the_ensemble_is_the_mean_under_an_even_gate():
    """Weights that do not sum to 1 over the branches would scale the ensemble's logits."""
    model = linear.native_ensemble()
    model.gate.layers[0].kernel.assign(np.zeros((linear.FEATURES, 2)))
    outputs = model(linear.X)
    mean = (outputs["branch_0"] + outputs["branch_1"]) / 2
    np.testing.assert_allclose(outputs["ensemble"], mean, atol=1e-6)


def test_gates_of_maps_and_sequences():
    """The gate reads the mean over positions, of images and of texts."""
    for shape in ((8, 8, 3), (8, 3)):
        pooling = layers.GlobalAveragePooling2D if len(shape) == 3 else layers.GlobalMaxPooling1D
        trunk = keras.Sequential([keras.Input(shape), layers.Dense(5)], name="trunk")
        branches = [
            keras.Sequential([keras.Input((*shape[:-1], 5)), pooling(), layers.Dense(4)], name=name)
            for name in ("left", "right")
        ]
        model = NativeEnsemble(trunk=trunk, branches=branches)
        outputs = model(np.ones((2, *shape), "float32"))
        assert {name: out.shape for name, out in outputs.items()} == dict.fromkeys(
            ("left", "right", "ensemble"), (2, 4)
        )


def test_the_gate_means_over_the_positions():
    """Not over the channels, where the trunk has them first."""
    inputs = keras.Input((3, 4, 6))
    for form, width in (("channels_first", 3), ("channels_last", 6)):
        trunk = keras.Model(inputs, keras.layers.UpSampling2D(1, data_format=form)(inputs))
        heads = [
            keras.Sequential(
                [keras.Input((3, 4, 6)), keras.layers.Flatten(), keras.layers.Dense(2)], name=name
            )
            for name in "ab"
        ]
        one = NativeEnsemble(trunk=trunk, branches=heads)
        assert one.gate.layers[0].output.shape == (None, width)
