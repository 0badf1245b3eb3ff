"""What 8 bits need: ways to compute that they can carry, and their rounding."""

import contextlib

from keras_distill.int8.attention import close_masks
from keras_distill.int8.normalization import exact_variances


@contextlib.contextmanager
def int8_calls(model, rounded=None):
    """Computes attention and normalization as an int8 file can, within a with block.

    Args:
        model: A `keras.Model`.
        rounded: Function of a tensor, for the values that the file rounds within a
            layer. None rounds nothing.
    """
    with close_masks(model), exact_variances(model, rounded or (lambda values: values)):
        yield
