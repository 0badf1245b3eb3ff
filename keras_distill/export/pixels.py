"""Inputs that are pixels from 0 to 255, or that the model itself normalises."""

import keras
import numpy as np

from keras_distill._keras.graph import calls_of
from keras_distill._keras.layers import flatten_layers
from keras_distill.export.tflite.metadata import ImageMetadata

WHITE = 255.0
# Layers that move pixels without changing their values.
_MOVING = (
    keras.layers.CenterCrop,
    keras.layers.Cropping2D,
    keras.layers.Identity,
    keras.layers.Permute,
    keras.layers.RandomCrop,
    keras.layers.RandomFlip,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomZoom,
    keras.layers.Reshape,
    keras.layers.Resizing,
    keras.layers.ZeroPadding2D,
)
# Resizing may overshoot the range from black to white by this much.
_MARGIN = 0.1 * WHITE
# Pixels that were divided by 255, or by their standard deviation, are all below this value.
_DARK = 5
# Pixels are divided by 127.5 to 256; sound by 32768, and pixels of 16 bits by 65535.
_LEAST_DIVISOR, _LARGEST_DIVISOR = 100, 300


def made_up_values(named_model, name, shape, generator):
    """Values for an input as its first layer expects them, or None if no layer shows this.

    Args:
        named_model: A `NamedModel`.
        name: Name of the input.
        shape: The values' shape, with a batch axis.
        generator: A `np.random.Generator`.
    """
    for layer in _first_layers(named_model, name):
        if _takes_pixels(layer):
            return generator.uniform(0, WHITE, shape)
        if isinstance(layer, keras.layers.Normalization) and not layer.invert:
            mean, variance = (np.asarray(value) for value in (layer.mean, layer.variance))
            return mean + np.sqrt(variance) * generator.normal(size=shape)
        if isinstance(layer, keras.layers.Rescaling):
            return generator.normal(size=shape) / np.asarray(layer.scale)
    return None


def made_up_image(metadata, shape, generator):
    """Generated values for the image of an `ImageMetadata`."""
    pixels = generator.uniform(0, WHITE, shape)
    return (pixels - np.asarray(metadata.mean)) / np.asarray(metadata.std)


def check_pixels(named_model, inputs, metadata=None):
    """Raises unless inputs are pixels from 0 to 255 if the model expects such pixels.

    Args:
        named_model: A `NamedModel`.
        inputs: Arrays by name.
        metadata: `ImageMetadata` of the model, or other metadata, or None.

    Raises:
        ValueError: If the inputs are pixels divided by 255, or have other values.
    """
    if isinstance(metadata, ImageMetadata):
        reason = f"{metadata.mean=} and {metadata.std=}".replace("metadata.", "")
        for values in inputs.values():
            _check(values, metadata.mean, metadata.std, reason)
    for name in pixel_inputs(named_model):
        _check(inputs[name], 0, 1, "the Rescaling that the model begins with")


def pixel_inputs(named_model):
    """Dict from each input of pixels from 0 to 255 to the Rescaling layer that shows it."""
    first = {
        name: list(filter(_takes_pixels, _first_layers(named_model, name)))
        for name in named_model.inputs
    }
    return {name: layers[0] for name, layers in first.items() if layers}


def normalized_pictures(named_model):
    """Dict from each input of pictures that a Normalization layer reads to its `(mean, std)`.

    Both are numbers over all channels: a channel, or a pixel, that never changes has no scale.
    """
    found = {}
    for name, tensor in named_model.inputs.items():
        for layer in _first_layers(named_model, name):
            is_normalization = isinstance(layer, keras.layers.Normalization) and not layer.invert
            if is_normalization and len(tensor.shape) == 4:
                mean, variance = (np.asarray(value) for value in (layer.mean, layer.variance))
                found[name] = float(mean.mean()), float(np.sqrt(variance.mean() + mean.var()))
    return found


def divide_pixels(divisors):
    """Whether pixels from 0 to 255 are divided by these numbers to scale them to about 1."""
    divisors = np.abs(divisors)
    return bool(np.all((divisors > _LEAST_DIVISOR) & (divisors < _LARGEST_DIVISOR)))


def are_pixels(lowest, highest):
    """Whether values from lowest to highest may be pixels from 0 to 255.

    Pixels that were divided by 255 are all black, and no picture has values far from the range.
    """
    is_divided = lowest >= -_DARK and highest <= _DARK
    return not is_divided and lowest >= -_MARGIN and highest <= WHITE + _MARGIN


def _check(values, mean, std, reason):
    pixels = values * np.asarray(std) + np.asarray(mean)
    lowest, highest = float(np.min(pixels)), float(np.max(pixels))
    if not are_pixels(lowest, highest):
        raise ValueError(
            f"representative_data must be made of pixels from 0 to 255, by {reason}. Received: "
            f"values from {np.min(values):.4g} to {np.max(values):.4g}, which are pixels from "
            f"{lowest:.4g} to {highest:.4g}. Give the images as the model was trained on them."
        )


def _takes_pixels(layer):
    is_rescaling = isinstance(layer, keras.layers.Rescaling)
    return is_rescaling and divide_pixels(1 / np.asarray(layer.scale))


def _first_layers(named_model, name):
    """The first layers that change the values of an input."""
    layers = flatten_layers(named_model.model)
    return _readers(layers, named_model.inputs[name])


def _readers(layers, tensor):
    found = []
    for layer in layers:
        for node in calls_of(layer):
            for place, read in enumerate(node.input_tensors):
                if read is not tensor:
                    continue
                if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
                    # A KerasHub task reuses the inputs of its backbone, whose layers are then
                    # found already.
                    if layer.inputs[place] is not tensor:
                        found += _readers(layers, layer.inputs[place])
                elif isinstance(layer, _MOVING):
                    found += _readers(layers, node.output_tensors[0])
                else:
                    found.append(layer)
    return found
