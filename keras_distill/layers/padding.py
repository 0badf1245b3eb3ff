"""Layers that exclude padding from a text model by explicit masks.

Keras's own masks get lost: a `MultiHeadAttention` does not pass them on. Also, the mean over a
text must not be over zero tokens.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_distill")
class TokenMask(keras.layers.Layer):
    """Distinguishes tokens from padding, whose id is 0.

    The first position always counts as a token, so that an empty text is read as one
    token 0: means and attention always have at least one token.

    Call arguments:
        ids: Integers, (batch, length).

    Returns:
        Booleans, (batch, length).
    """

    def call(self, ids):
        is_first = ops.equal(ops.arange(ops.shape(ids)[1]), 0)
        return ops.logical_or(ops.not_equal(ids, 0), is_first)


@keras.saving.register_keras_serializable(package="keras_distill")
class ZeroPadding(keras.layers.Layer):
    """Sets the features of padding to 0.

    Call arguments:
        features: (batch, length, width).
        token_mask: Booleans, (batch, length).
    """

    def call(self, features, token_mask):
        return features * ops.cast(ops.expand_dims(token_mask, -1), features.dtype)


@keras.saving.register_keras_serializable(package="keras_distill")
class MeanOfTokens(keras.layers.Layer):
    """The mean of the features over the tokens.

    Call arguments:
        features: (batch, length, width).
        token_mask: Booleans, (batch, length), at least one of them true in each row.

    Returns:
        (batch, width).
    """

    supports_masking = True  # The output has no mask.

    def call(self, features, token_mask):
        is_token = ops.cast(token_mask, features.dtype)
        # Dividing before the sum keeps it within the range of float16.
        weights = is_token / ops.sum(is_token, axis=1, keepdims=True)
        return ops.sum(features * ops.expand_dims(weights, -1), axis=1)

    def compute_mask(self, features, previous_mask):
        return None
