"""Lets a model compute in the same way as an int8 file."""

import contextlib

from keras_distill.quantization.attention_masks import close_masks
from keras_distill.quantization.normalization import exact_variances


@contextlib.contextmanager
def int8_calls(model, rounded=None):
    """Computes attention and normalization as an int8 file does, within a with block.

    Args:
        model: A `keras.Model`.
        rounded: Function of a tensor that rounds the values that the file rounds within a
            layer. None rounds nothing.
    """
    with close_masks(model), exact_variances(model, rounded or (lambda values: values)):
        yield
