"""Small teachers, and what they read."""

import keras
import keras_hub
import numpy as np
import tensorflow as tf

import keras_distill as kd

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "film", "is", "good", "bad", "cafe", "."]
TEXTS = [
    "the film is good",
    "bad .",
    "the cafe is bad . the film is good .",
    "good",
    "unseen words",
]


def numbers(num_examples=50, width=4):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_examples, width)).astype("float32")
    return x, rng.integers(0, 3, num_examples).astype("int32")


def dataset(num_examples=50):
    return tf.data.Dataset.from_tensor_slices(numbers(num_examples))


def make_teacher(width=4, activation=None):
    x = keras.Input((width,))
    hidden = keras.layers.Dense(6, activation="tanh", name="hidden")(x)
    return keras.Model(x, keras.layers.Dense(3, activation=activation, name="logits")(hidden))


def make_bert(per_word=False, tokens=TOKENS, sequence_length=12):
    vocabulary = kd.text.WordPieceVocabulary(
        tokens, sequence_length=sequence_length, add_special_tokens=True
    )
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(tokens),
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=max(16, sequence_length),
    )
    return kd.teachers.text_classifier(backbone, vocabulary, 3, per_word=per_word)


def contents(folder):
    """Bytes by file name."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
