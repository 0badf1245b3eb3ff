"""Learned positions of a transformer, which also carry the token mask."""

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(package="keras_distill")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector for each position, and passes on the token mask.

    The output has the token mask as its Keras mask: KerasHub's transformer layers read
    it and pass it on, for themselves and for losses between hidden states. KerasHub's own
    position layer has neither the mask nor an error for texts that are too long.

    Args:
        max_length: Number of positions.

    Call arguments:
        inputs: `(features, token_mask)` of shapes (batch, length, width) and
            (batch, length).

    Returns:
        (batch, length, width).

    Raises:
        ValueError: If the texts are longer than `max_length`. If the length is known only at
            run time, it is a `tf.errors.InvalidArgumentError`.
    """

    supports_masking = True

    def __init__(self, max_length, **kwargs):
        super().__init__(**kwargs)
        self.max_length = max_length

    def build(self, input_shape):
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.max_length, input_shape[0][-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        )

    def call(self, inputs):
        features, _ = inputs
        length = ops.shape(features)[1]
        remedy = (
            f"Truncate the texts to max_sequence_length={self.max_length} tokens, or raise "
            "max_sequence_length."
        )
        embeddings = ops.cast(self.embeddings, features.dtype)
        if isinstance(length, int):
            if length > self.max_length:
                raise ValueError(f"{remedy} Received: texts of length {length}")
            return features + embeddings[:length]
        # The check precedes the sum, which would fail with a message about shapes.
        with tf.control_dependencies(
            [tf.debugging.assert_less_equal(length, self.max_length, remedy)]
        ):
            return features + tf.identity(embeddings)[:length]

    def compute_mask(self, inputs, previous_mask):
        return inputs[1]

    def get_config(self):
        # A student calls it max_sequence_length; saved models have this name.
        return {**super().get_config(), "max_length": self.max_length}
