"""Distances and cosines between all pairs of a batch's examples, from their dot products.

All results are `(batch, batch)` in float64: a distance is a difference of products, and float32
would round off the digits that distinguish two close examples.
"""

import tensorflow as tf
from keras import ops

from keras_distill.losses.numerics import divide
from keras_distill.losses.numerics import safe_sqrt


def dot_products(features, is_centred=False):
    """Dot products of the examples' features, one vector for each example.

    Args:
        features: The features, `(batch, ...)`.
        is_centred: Whether to subtract the batch's mean first. Distances do not change, but
            far from the origin the products would cancel.
    """
    features = ops.cast(features, "float64")
    if is_centred:
        features = features - ops.mean(features, axis=0, keepdims=True)
    axes = list(range(1, len(features.shape)))
    # A reshape would not work instead: it cannot infer the width of an empty batch.
    return tf.tensordot(features, features, (axes, axes))


def squared_distances(products):
    """Squared Euclidean distances, exactly 0 for equal examples."""
    squares = ops.diagonal(products)
    lengths = squares[:, None] + squares[None, :]
    squared = lengths - 2 * products
    # A smaller value is rounding noise between equal examples.
    return ops.where(squared > 1e-14 * lengths, squared, 0.0)


def distances(products):
    """Euclidean distances; 0 without a gradient for equal examples, where it is undefined."""
    return safe_sqrt(squared_distances(products))


def cosines(products):
    """Cosines; 0 for a vector of zeros."""
    lengths = safe_sqrt(ops.diagonal(products))
    return divide(products, lengths[:, None] * lengths[None, :])


def others(size):
    """1 for each pair of different examples, 0 on the diagonal."""
    return 1 - ops.eye(size, dtype="float64")
