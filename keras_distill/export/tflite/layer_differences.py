"""Finds the layer of a model that an exported file computes wrongly."""

import keras
import numpy as np

from keras_distill.export import parity
from keras_distill.export.signature import NamedModel
from keras_distill.export.tflite import trusted_file
from keras_distill.export.tflite.conversion import convert_model

# Most layers as outputs of one file: with hundreds of outputs, conversion takes many times longer.
_MAX_LAYERS = 50


def describe_worst_layer(named_model, calibrating, inputs, settings):
    """Names the layer whose output is furthest from Keras's, for an error message.

    Args:
        named_model: The `NamedModel` that was refused.
        calibrating: Inputs to calibrate on, arrays by name.
        inputs: Inputs to compare on.
        settings: Settings of `convert_model`.

    Returns:
        A sentence; "" if the layers' outputs cannot be read, as in a subclassed model.
    """
    outputs = _layer_outputs(named_model.model)
    if not outputs:
        return ""
    num_layers = len(outputs)
    if num_layers > _MAX_LAYERS:
        # The chosen layers are spread over the model and include the last one.
        chosen = np.linspace(0, num_layers - 1, _MAX_LAYERS).astype(int)
        names = list(outputs)
        outputs = {names[place]: outputs[names[place]] for place in chosen}
    layers = NamedModel(keras.Model(named_model.structure, outputs), named_model.sequence_length)
    try:
        content = convert_model(layers, calibrating, **settings)
        found = trusted_file.run_file(
            trusted_file.open_file(content), inputs, settings["batch_size"]
        )
        compared = parity.compare_outputs(parity.keras_outputs(layers, inputs), found)
    except (RuntimeError, ValueError):
        # With the layers as outputs, it is another file, which may not convert at all.
        return ""
    worst = max(compared, key=lambda output: output.max_difference / (output.span or 1))
    which = "its" if len(outputs) == num_layers else f"{len(outputs)} of its {num_layers}"
    return f"Of {which} layers this one is furthest from Keras: {worst}."


def _layer_outputs(model):
    outputs = {}
    for layer in getattr(model, "layers", ()):
        tensor = getattr(layer, "output", None)
        is_one = isinstance(tensor, keras.KerasTensor) and "float" in str(tensor.dtype)
        # The output of a nested model belongs to that model's own graph.
        if is_one and not isinstance(layer, (keras.layers.InputLayer, keras.Model)):
            outputs[layer.name] = tensor
    return outputs
