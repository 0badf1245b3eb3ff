"""Follows the copied channels of a widened layer through a model."""

import math

import keras
import numpy as np
import tensorflow as tf

from keras_distill.students.copies.rebuilding import copied
from keras_distill.students.copies.rebuilding import has_plain_weights
from keras_distill.students.copies.rebuilding import made_again

# Only these classes themselves are known: a subclass may compute something else.
CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
# These layers treat each channel separately, and all channels alike.
_CHANNELWISE = (
    keras.layers.Activation,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalMaxPooling3D,
    keras.layers.Identity,
    keras.layers.LeakyReLU,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
    keras.layers.ReLU,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
)


class Widening:
    """Follows copied channels through a model while it is rebuilt.

    Args:
        layer: The layer to widen.
        sources: For each new channel, the old channel that it copies.
    """

    def __init__(self, layer, sources):
        self._layer, self._sources = layer, sources
        # By id of a new tensor: the tensor, and the sources and old length of its last axis.
        self._channels = {}
        self._pairs, self._changes, self._called = {}, {}, set()

    def clone(self, old):
        if old is self._layer:
            width = "units" if hasattr(old, "units") else "filters"
            new = made_again(old, **{width: len(self._sources)})
        else:
            new = copied(old)
        self._pairs[id(new)] = old, new
        return new

    def call(self, new, *args, **kwargs):
        old, _ = self._pairs[id(new)]
        # The mask is left out: Keras's masks have no channels.
        read = args, {key: value for key, value in kwargs.items() if key != "mask"}
        inputs = [x for x in keras.tree.flatten(read) if hasattr(x, "shape")]
        channels = [self._channels[id(x)][1:] if id(x) in self._channels else None for x in inputs]
        is_touched = old is self._layer or any(c is not None for c in channels)
        if id(new) in self._called and (is_touched or id(new) in self._changes):
            raise ValueError(self._problem(old, "is called more than once"))
        self._called.add(id(new))
        if not is_touched:
            return new(*args, **kwargs)
        if old is self._layer:
            behind = self._sources, old.kernel.shape[-1]
            changes = {"kernel": _taken(self._sources, -1), "bias": _taken(self._sources, 0)}
        else:
            behind, changes = self._pass(old, inputs, channels)
        self._changes[id(new)] = changes
        outputs = new(*args, **kwargs)
        if behind is not None:
            self._channels[id(outputs)] = outputs, *behind
        return outputs

    def _pass(self, old, inputs, channels):
        """Channels of the outputs, and a function for each variable that changes."""
        rank = len(inputs[0].shape)
        is_last = getattr(old, "axis", -1) in (-1, rank - 1)
        if type(old) is keras.layers.Concatenate and is_last:
            return _concatenated(inputs, channels), {}
        if len(inputs) > 1:
            raise ValueError(self._problem(old, "reads several inputs"))
        sources, length = channels[0]
        if not has_plain_weights(old):
            raise ValueError(self._problem(old, "has LoRA or quantized weights"))
        if is_product(old):
            counts = np.bincount(sources, minlength=length)
            return None, {"kernel": _taken(sources, -2, counts[sources])}
        by_channel = is_elementwise(old) and _is_channels_last(old)
        if by_channel and type(old) in _CHANNELWISE:
            return channels[0], {}
        if type(old) is keras.layers.BatchNormalization and is_last:
            names = ("gamma", "beta", "moving_mean", "moving_variance")
            return channels[0], dict.fromkeys(names, _taken(sources, 0))
        if by_channel and type(old) in _DEPTHWISE and old.depth_multiplier == 1:
            return channels[0], {"kernel": _taken(sources, -2), "bias": _taken(sources, 0)}
        places = inputs[0].shape[1:-1]
        is_flatten = type(old) is keras.layers.Flatten and _is_channels_last(old)
        if is_flatten and None not in places:
            starts = length * np.arange(math.prod(places))[:, None]
            return ((starts + sources).ravel(), length * math.prod(places)), {}
        raise ValueError(self._problem(old, "cannot read copies of channels"))

    def check_outputs(self, wider):
        if any(id(output) in self._channels for output in wider.outputs):
            raise ValueError(
                f"{self._layer.name!r} cannot be widened: its channels are an output of the model, "
                f"{wider.name!r}. Give a hidden layer."
            )

    def set_weights(self):
        for key, (old, new) in self._pairs.items():
            if key not in self._changes:
                copy_weights(old, new)
                continue
            changes = self._changes[key]
            for from_variable, to_variable in zip(old.weights, new.weights):
                value = np.asarray(from_variable)
                change = changes.get(from_variable.name)
                to_variable.assign(value if change is None else change(value))

    def _problem(self, old, problem):
        return (
            f"{self._layer.name!r} cannot be widened: its output reaches {described(old)}, which "
            f"{problem}. Give a layer whose output reaches a Dense or Conv layer by activations, "
            "poolings, dropout, batch normalization, depthwise convolutions, Concatenate and "
            "Flatten alone, each of Keras's own class."
        )


def _concatenated(inputs, channels):
    sources, start = [], 0
    for x, of_input in zip(inputs, channels):
        of_input = of_input or (np.arange(x.shape[-1]), x.shape[-1])
        sources.append(start + of_input[0])
        start += of_input[1]
    return np.concatenate(sources), start


def _taken(sources, axis, counts=None):
    """A function from old to new weights, along the axis of the copied channels."""

    def take(weights):
        taken = np.take(weights, sources, axis)
        return taken if counts is None else taken / counts[:, None]

    return take


def is_product(layer):
    """Whether each output channel is a sum over all input channels, with channels last."""
    is_convolution = type(layer) in CONVOLUTIONS and layer.groups == 1
    return (is_convolution or type(layer) is keras.layers.Dense) and _is_channels_last(layer)


def _is_channels_last(layer):
    return getattr(layer, "data_format", None) in (None, "channels_last")


def is_elementwise(layer):
    """Whether the layer's activation treats each channel separately, and all channels alike."""
    activation = getattr(layer, "activation", None)
    if activation is None:
        return True
    if isinstance(activation, keras.layers.Layer):
        return type(activation) in _CHANNELWISE and is_elementwise(activation)
    channels = np.random.default_rng(0).normal(0, 3, (64, 4)).astype("float32")
    try:
        together, *alone = (
            np.asarray(activation(keras.ops.convert_to_tensor(values)))
            for values in (channels, channels[:, :2], channels[:, 2:])
        )
    except (TypeError, ValueError, tf.errors.InvalidArgumentError):
        return False  # The activation needs more channels, or other values.
    alone = np.concatenate(alone, axis=-1)
    return together.shape == alone.shape and np.allclose(together, alone, atol=1e-6)


def copy_weights(old, new):
    """Gives a rebuilt layer the old weights; operations that are not layers have none."""
    if isinstance(old, keras.layers.Layer):
        new.set_weights(old.get_weights())


def described(layer):
    """The name of a layer in errors."""
    return f"the {type(layer).__name__} {layer.name!r}"
