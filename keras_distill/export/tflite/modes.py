"""The quantization modes, their tolerances, and the models that they do not support."""

import dataclasses

import keras

from keras_distill._arguments.checks import check_choice
from keras_distill._keras.layers import flatten_layers


@dataclasses.dataclass(frozen=True)
class Mode:
    """One mode.

    Args:
        tolerance: Allowed difference from Keras beyond rounding, as a share of the range of
            Keras's output.
        is_calibrated: Whether the mode needs representative data, to find the range of every
            activation.
        recipe: Name of the mode in litert-quantizer, if that quantizes the float file.
    """

    tolerance: float
    is_calibrated: bool = False
    recipe: str | None = None


# The largest differences in benchmarks/export_table.py, as a share of the range, are: float16
# 0.011, dynamic 0.011, int8 0.10, int4 0.18. Deep networks with random weights exceed them:
# dynamic 0.19 on images; a transformer in int8 0.19.
MODES = {
    "none": Mode(0.0),
    "float16": Mode(0.01),
    "dynamic": Mode(0.05, recipe="dynamic_wi8_afp32"),
    "int8": Mode(0.15, is_calibrated=True),
    "int16x8": Mode(0.05, is_calibrated=True),
    "int4": Mode(0.3, recipe="dynamic_wi4_afp32"),
}


def check_mode(quantization):
    """Raises `ValueError` for an unknown mode."""
    check_choice("quantization", quantization, MODES)


def check_quantizable(model, quantization, has_data):
    """Raises `ValueError` for an unknown mode, and for models on which the mode fails.

    Args:
        model: A `keras.Model`.
        quantization: Name of the mode.
        has_data: Whether there is representative data.
    """
    check_mode(quantization)
    if MODES[quantization].is_calibrated and not has_data:
        raise ValueError(
            f"quantization={quantization!r} measures the range of every activation: give real "
            "inputs as representative_data, 300 or more. Received: representative_data=None"
        )
    layers = flatten_layers(model)
    if MODES[quantization].is_calibrated and (looped := _names(layers, _is_looped)):
        raise ValueError(
            f"quantization={quantization!r} cannot calibrate a loop. Received: the layers "
            f"{looped}, which loop over time. Build them with unroll=True and a fixed length and "
            "copy the weights, or use quantization='dynamic'."
        )
    if quantization == "int16x8" and (embeddings := _names(layers, _is_embedding)):
        raise ValueError(
            "quantization='int16x8' has no operation for embeddings. Received: the layers "
            f"{embeddings}. Use quantization='int8' or 'dynamic'."
        )


def _names(layers, is_one):
    return [layer.name for layer in layers if is_one(layer)]


def _is_looped(layer):
    return isinstance(layer, keras.layers.RNN) and not layer.unroll


def _is_embedding(layer):
    return isinstance(layer, keras.layers.Embedding)
