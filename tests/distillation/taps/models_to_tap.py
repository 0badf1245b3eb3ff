"""Models of every kind that a tap must read, and a pass with taps in any mode."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill.distillation.taps import record

every_mode = pytest.mark.parametrize("mode", ["eager", "function", "jit"])


def taps_of(model, paths, x, mode="eager", **kwargs):
    """Runs the model once; returns its output and the activations."""

    def run(x):
        with record(model, paths) as recording:
            output = model(x, **kwargs)
        return output, {path: recording[path] for path in paths}

    return run(x) if mode == "eager" else tf.function(run, jit_compile=mode == "jit")(x)


def batch(*shape):
    return tf.constant(np.random.default_rng(0).normal(size=shape).astype("float32"))


@keras.saving.register_keras_serializable(package="tests")
class Counting(layers.Layer):
    """Doubles its input, and counts its calls."""

    num_calls = 0

    def call(self, inputs):
        # Past Keras's tracking; in a graph this counts the traces.
        object.__setattr__(self, "num_calls", self.num_calls + 1)
        return 2 * inputs


class Block(layers.Layer):
    """A subclassed layer with layers inside, in a list and a dict too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(4, name="first")
        self.rest = [layers.Dense(4, name=f"rest_{i}") for i in range(2)]
        self.by_name = {"extra": layers.Dense(4, name="extra")}

    def build(self, shape):
        for layer in (self.first, *self.rest, self.by_name["extra"]):
            layer.build((None, 4))
        self.built = True

    def call(self, inputs):
        for layer in (self.first, *self.rest):
            inputs = layer(inputs)
        return self.by_name["extra"](inputs)


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.block = Block(name="block")
        self.head = layers.Dense(3, name="head")

    def call(self, inputs):
        return self.head(self.block(inputs))


def functional():
    inputs = keras.Input((4,), name="inputs")
    hidden = Counting(name="counting")(layers.Dense(4, name="dense")(inputs))
    return keras.Model(inputs, layers.Dense(3, name="head")(hidden), name="functional")


def sequential():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="dense"), layers.Dense(3, name="head")]
    )


def nested():
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), functional()], name="inner")
    return keras.Model(inputs, layers.Dense(2, name="head")(inner(inputs)), name="outer")


def subclassed():
    model = Subclassed(name="subclassed")
    model(np.zeros((1, 4), "float32"))
    return model


def bert(**kwargs):
    return keras_hub.models.BertBackbone(
        vocabulary_size=50,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=16,
        **kwargs,
    )


def bert_batch():
    ids = np.arange(32).reshape(2, 16) % 50
    return {
        "token_ids": tf.constant(ids),
        "segment_ids": tf.zeros((2, 16), "int32"),
        "padding_mask": tf.constant((np.arange(16) < [[16], [5]]).astype("int32")),
    }
