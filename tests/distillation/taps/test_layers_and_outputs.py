"""The paths of one model: layers first, then its outputs."""

import keras
import pytest
from keras import layers
from models_to_tap import batch
from models_to_tap import bert
from models_to_tap import bert_batch

from keras_distill.distillation.taps import Taps


def test_layers_and_outputs():
    """A path that names no layer is a key of the outputs, known after the pass."""
    model, x = bert(), bert_batch()
    taps = Taps(model, ["transformer_layer_0", "sequence_output", "output[pooled_output]"])
    with taps.record() as recording:
        outputs = model(x)
    activations = taps.activations(recording, outputs)
    assert set(activations) == {
        "transformer_layer_0",
        "sequence_output",
        "output[pooled_output]",
    }
    assert activations["sequence_output"] is outputs["sequence_output"]
    assert activations["output[pooled_output]"] is outputs["pooled_output"]
    assert activations["transformer_layer_0"].shape == (2, 16, 8)


def test_layer_goes_before_an_output_of_the_same_name():
    """As in the documentation: layer names first."""
    inputs = keras.Input((4,))
    hidden = layers.Dense(5, name="logits")(inputs)
    model = keras.Model(inputs, {"logits": layers.Dense(3)(hidden)})
    taps = Taps(model, ["logits"])
    with taps.record() as recording:
        outputs = model(batch(2, 4))
    assert taps.activations(recording, outputs)["logits"].shape == (2, 5)


def test_output_is_never_a_layer():
    """A layer that happens to be called "output" must not shadow the model's output."""
    inputs = keras.Input((4,))
    hidden = layers.Dense(5, name="output")(inputs)
    model = keras.Model(inputs, layers.Dense(3)(hidden))
    taps = Taps(model, ["output"])
    with taps.record() as recording:
        outputs = model(batch(2, 4))
    assert taps.activations(recording, outputs)["output"] is outputs


@pytest.mark.parametrize("teacher", [None, lambda x: x])
def test_only_outputs_of_what_is_no_keras_model(teacher):
    """A function, or stored outputs: everything is a key."""
    taps = Taps(teacher, ["output", "hidden"])
    outputs = {"output": 1.0, "hidden": 2.0}
    assert taps.activations(None, outputs) == outputs


def test_neither_layer_nor_output():
    """The message lists the nearest layers and the outputs: the typo is in one of them."""
    model = bert(name="bert_backbone")
    taps = Taps(model, ["sequence_outputs"])
    with taps.record() as recording:
        outputs = model(bert_batch())
    with pytest.raises(ValueError, match="'sequence_outputs' names no layer") as error:
        taps.activations(recording, outputs)
    message = str(error.value)
    assert "The nearest are: [" in message
    assert "'sequence_output': '*'" in message
    assert "'pooled_output': '*'" in message


def test_no_such_output():
    """The same for a function's outputs."""
    taps = Taps(None, ["hidden"])
    message = "The tap 'hidden' names no output. The outputs are: {'output': '*'}."
    with pytest.raises(ValueError, match="names no output") as error:
        taps.activations(None, {"output": 1.0})
    assert str(error.value) == message


def test_ambiguous_layer():
    """Not silently an output: the candidates are in the message."""
    model = bert()
    taps = Taps(model, ["self_attention_layer"])
    with pytest.raises(ValueError, match="fits 2 layers"):
        taps.activations(None, model(bert_batch()))
