"""Layers without one output to read: an error, never one of several in silence."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models_to_tap import Subclassed
from models_to_tap import batch
from models_to_tap import every_mode
from models_to_tap import functional
from models_to_tap import taps_of


@every_mode
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("cell_class", [layers.SimpleRNNCell, layers.LSTMCell])
def test_rnn_cell(cell_class, unroll, mode):
    """One of its steps is no activation; in a loop it is a tensor of another graph."""
    rnn = layers.RNN(cell_class(4, name="cell"), unroll=unroll, name="rnn")
    model = keras.Sequential([keras.Input((3, 2)), rnn])
    message = "'rnn/cell'.*(RNN cell).*return_sequences=True"
    with pytest.raises(ValueError, match=message):
        taps_of(model, ["rnn/cell"], batch(2, 3, 2), mode)
    assert "call" not in rnn.cell.__dict__


@every_mode
def test_rnn_layer_itself(mode):
    """What the message advises works."""
    model = keras.Sequential(
        [
            keras.Input((3, 2)),
            layers.LSTM(4, return_sequences=True, name="lstm"),
            layers.Flatten(),
        ]
    )
    output, activations = taps_of(model, ["lstm"], batch(2, 3, 2), mode)
    assert activations["lstm"].shape == (2, 3, 4)
    np.testing.assert_allclose(np.reshape(activations["lstm"], (2, 12)), output, rtol=1e-6)


@every_mode
def test_layer_that_runs_twice(mode):
    """Which of the two? Never one of them in silence."""
    inputs, shared = keras.Input((4,)), layers.Dense(4, name="shared")
    model = keras.Model(inputs, shared(shared(inputs)))
    with pytest.raises(ValueError, match="'shared', which ran 2 times in one forward pass"):
        taps_of(model, ["shared"], batch(2, 4), mode)


@every_mode
def test_layer_that_does_not_run(mode):
    """An unused auxiliary head has no output, not that of the last pass."""

    class Unused(Subclassed):
        def __init__(self):
            super().__init__()
            self.unused = layers.Dense(2, name="unused")

    model = Unused()
    model.unused(batch(2, 4))
    with pytest.raises(ValueError, match="'unused', which did not run in this forward pass"):
        taps_of(model, ["unused"], batch(2, 4), mode)


def test_input_layer():
    """It is listed among the layers, but Keras feeds it without a call."""
    with pytest.raises(ValueError, match="The tap 'inputs'"):
        taps_of(functional(), ["inputs"], batch(2, 4))


@every_mode
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("was_traced", [False, True])
def test_layer_inside_a_function_of_its_own(was_traced, jit_compile, mode):
    """Its tensor belongs to another graph: an error here, not in the optimizer."""

    class Compiled(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(4, name="inner")
            self.inner.build((None, 4))
            self.run = tf.function(self.inner.__call__, jit_compile=jit_compile)

        def call(self, x):
            return self.run(x)

    model, x = Compiled(), batch(2, 4)
    if was_traced:
        model(x)
    reason = "did not run" if was_traced else "compiled function"
    with pytest.raises(ValueError, match=rf"'inner', which .*{reason}"):
        taps_of(model, ["inner"], x, mode)


def test_layer_inside_a_branch():
    """tf.cond traces both branches; neither's tensor exists outside."""

    class Branching(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(4, name="inner")
            self.inner.build((None, 4))

        def call(self, x):
            return tf.cond(tf.reduce_sum(x) > 0, lambda: self.inner(x), lambda: x)

    with pytest.raises(ValueError, match="loop, a branch"):
        taps_of(Branching(), ["inner"], batch(2, 4), "function")
