"""One row of features for each word of a text that is split into word pieces."""

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(package="keras_distill")
class FirstPieces(keras.layers.Layer):
    """Selects the features of each word's first piece.

    The output has the Keras mask `word_starts > 0`, which Keras's losses and metrics and
    the losses of this package read, so that padding never counts.

    Call arguments:
        word_starts: Positions in the length, (batch, words), 0 for padding.
        features: (batch, length, width).

    Returns:
        (batch, words, width).
    """

    supports_masking = True

    def call(self, word_starts, features):
        return tf.gather(features, word_starts, batch_dims=1)

    def compute_mask(self, word_starts, previous_mask):
        return ops.greater(word_starts, 0)
