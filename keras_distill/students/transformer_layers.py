"""Layers of the transformer student.

Their outputs carry the token mask as their Keras mask, for losses between hidden states.
Inside, the mask is an input like any other.
"""

import keras
import tensorflow as tf
from keras import ops

NORM_EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="keras_distill")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector for each position.

    Args:
        max_length: Number of positions.

    Call arguments:
        inputs: `(features, token_mask)` of shapes (batch, length, width) and
            (batch, length).

    Returns:
        (batch, length, width).

    Raises:
        ValueError: If the texts are longer than `max_length`; where that shows only when
            a graph runs, `tf.errors.InvalidArgumentError`.
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
        remedy = f"Truncate the texts to max_length={self.max_length} tokens, or raise max_length."
        embeddings = ops.cast(self.embeddings, features.dtype)
        if isinstance(length, int):
            if length > self.max_length:
                raise ValueError(f"{remedy} Received: texts of length {length}")
            return features + embeddings[:length]
        # Before the sum, which would fail with a message about shapes.
        with tf.control_dependencies(
            [tf.debugging.assert_less_equal(length, self.max_length, remedy)]
        ):
            return features + tf.identity(embeddings)[:length]

    def compute_mask(self, inputs, previous_mask):
        return inputs[1]

    def get_config(self):
        return {**super().get_config(), "max_length": self.max_length}


@keras.saving.register_keras_serializable(package="keras_distill")
class TransformerLayer(keras.layers.Layer):
    """Self-attention and a feed-forward network, each added to its input and normalized.

    ```
    x = norm(x + dropout(attention(x)))
    x = norm(x + dropout(dense(gelu(dense(x)))))
    ```

    Args:
        heads: Number of attention heads, a divisor of the width.
        intermediate_dim: Width of the feed-forward network's hidden layer.
        dropout: Dropout rate, also of the attention probabilities.

    Call arguments:
        inputs: `(features, token_mask)` of shapes (batch, length, width) and
            (batch, length). Padding gets no attention.

    Returns:
        (batch, length, width).

    Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. Deviation: the exact
    GELU for ReLU, as in BERT.
    """

    supports_masking = True

    def __init__(self, heads, intermediate_dim, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout

    def build(self, input_shape):
        shape, _ = input_shape
        width = shape[-1]
        dtype = self.dtype_policy
        self.attention = keras.layers.MultiHeadAttention(
            self.heads, width // self.heads, dropout=self.dropout, dtype=dtype, name="attention"
        )
        self.attention.build(shape, shape)
        self.attention_norm = keras.layers.LayerNormalization(
            epsilon=NORM_EPSILON, dtype=dtype, name="attention_norm"
        )
        self.attention_norm.build(shape)
        self.intermediate = keras.layers.Dense(
            self.intermediate_dim, activation="gelu", dtype=dtype, name="intermediate"
        )
        self.intermediate.build(shape)
        self.output_dense = keras.layers.Dense(width, dtype=dtype, name="output_dense")
        self.output_dense.build((*shape[:-1], self.intermediate_dim))
        self.output_norm = keras.layers.LayerNormalization(
            epsilon=NORM_EPSILON, dtype=dtype, name="output_norm"
        )
        self.output_norm.build(shape)
        self.residual_dropout = keras.layers.Dropout(
            self.dropout, dtype=dtype, name="residual_dropout"
        )

    def call(self, inputs, training=None):
        features, token_mask = inputs
        # Without its Keras mask, of which MultiHeadAttention would make a second one.
        features = tf.identity(features)
        attended = self.attention(
            features, features, attention_mask=ops.expand_dims(token_mask, 1), training=training
        )
        attended = self.residual_dropout(attended, training=training)
        features = self.attention_norm(features + attended)
        fed = self.output_dense(self.intermediate(features))
        return self.output_norm(features + self.residual_dropout(fed, training=training))

    def compute_mask(self, inputs, previous_mask):
        return inputs[1]

    def get_config(self):
        return {
            **super().get_config(),
            "heads": self.heads,
            "intermediate_dim": self.intermediate_dim,
            "dropout": self.dropout,
        }
