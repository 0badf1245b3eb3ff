"""Distances and cosines between all pairs of a batch's examples, from their dot products.

All `(batch, batch)` in float64: a distance is a difference of products, of which float32 would
round off the digits that tell two close examples apart.
"""

import tensorflow as tf
from keras import ops

from keras_distill.losses.numerics import divide
from keras_distill.losses.numerics import safe_sqrt


def dot_products(features, is_centred=False):
    """Of the examples' features `(batch, ...)`, one vector for each.

    Args:
        features: The features.
        is_centred: Whether to take the batch's mean off first. Distances do not change, and
            far from the origin their products would cancel.
    """
    features = ops.cast(features, "float64")
    if is_centred:
        features = features - ops.mean(features, axis=0, keepdims=True)
    axes = list(range(1, len(features.shape)))
    # With a reshape instead, an empty batch has no width.
    return tf.tensordot(features, features, (axes, axes))


def squared_distances(products):
    """Squared Euclidean distances, exactly 0 for equal examples."""
    squares = ops.diagonal(products)
    lengths = squares[:, None] + squares[None, :]
    squared = lengths - 2 * products
    # What is left of equal ones is rounding.
    return ops.where(squared > 1e-14 * lengths, squared, 0.0)


def distances(products):
    """Euclidean distances; of equal examples 0 without a gradient, where there is none."""
    return safe_sqrt(squared_distances(products))


def cosines(products):
    """Cosines; 0 for a vector of zeros."""
    lengths = safe_sqrt(ops.diagonal(products))
    return divide(products, lengths[:, None] * lengths[None, :])


def others(size):
    """1 for each pair of two examples, 0 on the diagonal."""
    return 1 - ops.eye(size, dtype="float64")
