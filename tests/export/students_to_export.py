"""Small students of every kind that the exports must carry, and real disagreeing ones."""

import keras
from keras import layers


def cnn():
    image = keras.Input((12, 12, 1), name="image")
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
    return keras.Model(image, layers.Dense(3, name="logits")(x))


def text_cnn():
    ids = keras.Input((12,), dtype="int32", name="ids")
    x = layers.Conv1D(16, 3, activation="relu")(layers.Embedding(200, 16)(ids))
    return keras.Model(ids, layers.Dense(4, name="logits")(layers.GlobalMaxPooling1D()(x)))


def bilstm(unroll=False):
    ids = keras.Input((8,), dtype="int32", name="ids")
    # As large as those of a trained network: 8 bits leave little of an output near 0.
    wide = keras.initializers.RandomNormal(stddev=1.0)
    x = layers.Embedding(100, 8, wide, mask_zero=True)(ids)
    x = layers.Bidirectional(layers.LSTM(4, unroll=unroll))(x)
    return keras.Model(ids, layers.Dense(2, name="logits")(x))


def unrolled_bilstm():
    return bilstm(unroll=True)


def transformer():
    ids = keras.Input((8,), dtype="int32", name="ids")
    mask = keras.ops.expand_dims(keras.ops.not_equal(ids, 0), 1)
    x = layers.Embedding(100, 16)(ids)
    attention = layers.MultiHeadAttention(2, 8)(x, x, attention_mask=mask)
    x = layers.LayerNormalization()(x + attention)
    x = layers.LayerNormalization()(x + layers.Dense(16, activation="gelu")(x))
    return keras.Model(ids, layers.Dense(3, name="logits")(x[:, 0]))


def two_in_two_out():
    # Not in the order of the alphabet: a mixed-up order must show.
    ids = keras.Input((8,), dtype="int32", name="ids")
    extra = keras.Input((5,), name="extra")
    text = layers.GlobalAveragePooling1D()(layers.Embedding(50, 8)(ids))
    x = layers.Concatenate()([text, layers.Dense(8)(extra)])
    outputs = {"topic": layers.Dense(3)(x), "score": layers.Dense(1)(x)}
    return keras.Model({"ids": ids, "extra": extra}, outputs)


class Noise(layers.Layer):
    """Draws random numbers at inference: no file can agree with it."""

    def __init__(self):
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seed_generator)


def random_at_inference():
    x = keras.Input((4,), name="x")
    return keras.Model(x, Noise()(layers.Dense(2)(x)))


def nan_weights():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    model.layers[0].bias.assign([float("nan"), 0.0])
    return model
