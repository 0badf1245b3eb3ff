"""Rounding to 8 bits as in TFLite, with a straight-through gradient."""

import keras
import tensorflow as tf
from keras import ops

# This prevents a division by zero.
_TINY = 1e-30


def round_kernel(kernel, axes):
    """Rounds a kernel symmetrically, to -127 to 127 steps."""
    values = ops.cast(kernel, "float32")
    steps, scale = keras.quantizers.abs_max_quantize(values, axis=axes, epsilon=_TINY)
    return _straight_through(values, ops.cast(steps, "float32") / scale)


def round_activation(values):
    """Rounds to 255 steps from the smallest number to the largest; 0 is one of the values."""
    if not (tf.is_tensor(values) and values.dtype.is_floating):
        return values
    exact = ops.cast(values, "float32")
    lowest, highest = ops.minimum(ops.min(exact), 0.0), ops.maximum(ops.max(exact), 0.0)
    rounded = keras.quantizers.fake_quant_with_min_max_vars(exact, lowest, highest)
    return ops.cast(_straight_through(exact, rounded), values.dtype)


def _straight_through(values, rounded):
    return values + ops.stop_gradient(rounded - values)
