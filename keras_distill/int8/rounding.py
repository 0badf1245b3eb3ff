"""Rounding to 8 bits as TFLite does it, with a gradient that passes as if nothing was rounded."""

import tensorflow as tf
from keras import ops

# Against a division by zero.
_TINY = 1e-30


def round_kernel(kernel, axes):
    """Symmetric: -127 to 127 steps."""
    values = ops.cast(kernel, "float32")
    step = ops.max(ops.abs(values), axis=axes, keepdims=True) / 127.0
    return _straight_through(values, ops.round(values / (step + _TINY)) * step)


def round_activation(values):
    """255 steps from the smallest number to the largest; 0 is one of them."""
    if not (tf.is_tensor(values) and values.dtype.is_floating):
        return values
    exact = ops.cast(values, "float32")
    lowest, highest = ops.minimum(ops.min(exact), 0.0), ops.maximum(ops.max(exact), 0.0)
    step = (highest - lowest) / 255.0 + _TINY
    zero = ops.round(-lowest / step)
    steps = ops.clip(ops.round(exact / step) + zero, 0.0, 255.0)
    return ops.cast(_straight_through(exact, (steps - zero) * step), values.dtype)


def _straight_through(values, rounded):
    return values + ops.stop_gradient(rounded - values)
