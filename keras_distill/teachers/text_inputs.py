"""Turns strings into a text encoder's inputs, as long as the longest text of the batch."""

import pathlib

import keras
import tensorflow as tf

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.imports import import_module
from keras_distill._keras.keras_hub import tokenizer_in_graph
from keras_distill.text.vocabularies.base import read_tokens

HUB_NAMES = ("input_word_ids", "input_mask", "input_type_ids")
KERAS_HUB_NAMES = ("token_ids", "padding_mask", "segment_ids")


@keras.saving.register_keras_serializable(package="keras_distill")
class TextInputs(keras.layers.Layer):
    """Turns texts into an encoder's inputs, `{name: int32 (batch, length)}`.

    The layer works in a model, in tf.data and eagerly. The length is that of the longest text
    in the batch, so that batches of short texts cost little, whatever the preprocessor's padding.
    Ids of padding are 0.

    Args:
        preprocessor: A KerasHub preprocessor, a `HubLayer` of a TF-Hub preprocessor, or
            a vocabulary of `keras_distill.text` with special tokens.
        names: Names of the encoder's inputs: some of ids, mask and segment ids, in this order.
        pairs: Whether a text is a pair, with the input `(batch, 2)`.
        per_word: Whether the input is words, `(batch, words)` padded with "", and
            "word_starts" is also returned. The preprocessor must be a `Vocabulary`.
        sequence_length: Largest number of tokens, for a TF-Hub preprocessor; the others have
            their own length.
    """

    def __init__(
        self, preprocessor, names, *, pairs=False, per_word=False, sequence_length=128, **kwargs
    ):
        super().__init__(**kwargs)
        if hasattr(preprocessor, "tokenizer"):
            # KerasHub would fail at the first text, with an error of another thing.
            import_module("tensorflow_text")
        self.preprocessor = preprocessor
        self.names = list(names)
        self.pairs = pairs
        self.per_word = per_word
        self.sequence_length = check_integer("sequence_length", sequence_length)
        # The function is a graph: eagerly, KerasHub's preprocessors use slower pure Python.
        shape = [None, 2] if pairs else [None, None] if per_word else [None]
        self._features = tf.function(
            self._untrimmed, input_signature=[tf.TensorSpec(shape, tf.string)], autograph=False
        )

    def build(self, input_shape):
        self.built = True

    def call(self, texts):
        features = self._features(texts)
        word_starts = features.pop("word_starts", None)
        ids, mask, segment_ids = (features.get(name) for name in KERAS_HUB_NAMES)
        if mask is None:
            mask = ids != 0
        if segment_ids is None:
            segment_ids = tf.zeros_like(ids)
        # An encoder ignores ids behind the mask. Some tokenizers pad with another id than 0, which
        # batches are padded with.
        ids = tf.where(tf.cast(mask, tf.bool), ids, 0)
        length = tf.reduce_max(tf.reduce_sum(tf.cast(mask, tf.int32), axis=-1))
        inputs = {
            name: tf.cast(values[:, : tf.maximum(length, 1)], tf.int32)
            for name, values in zip(self.names, (ids, mask, segment_ids))
        }
        return inputs if word_starts is None else {**inputs, "word_starts": word_starts}

    def compute_output_spec(self, texts):
        names = [*self.names, "word_starts"] if self.per_word else self.names
        return {name: keras.KerasTensor((texts.shape[0], None), "int32") for name in names}

    def _untrimmed(self, texts):
        if self.per_word:
            return self.preprocessor.tokenize_words(texts)
        segments = tuple(tf.unstack(texts, axis=1)) if self.pairs else (texts,)
        if hasattr(self.preprocessor, "module"):
            features = self._pack(segments)
            return dict(zip(KERAS_HUB_NAMES, (features[name] for name in HUB_NAMES)))
        with tokenizer_in_graph(self.preprocessor):
            features = self.preprocessor(x=segments) if self.pairs else self.preprocessor(texts)
        return features if isinstance(features, dict) else {"token_ids": features}

    def _pack(self, segments):
        module = self.preprocessor.module
        if not hasattr(module, "bert_pack_inputs"):
            return self.preprocessor(*segments)
        tokens = [module.tokenize(segment) for segment in segments]
        return module.bert_pack_inputs(tokens, tf.constant(self.sequence_length))

    def get_config(self):
        return {
            **super().get_config(),
            "preprocessor": keras.saving.serialize_keras_object(self.preprocessor),
            "names": self.names,
            "pairs": self.pairs,
            "per_word": self.per_word,
            "sequence_length": self.sequence_length,
        }

    @classmethod
    def from_config(cls, config):
        preprocessor = keras.saving.deserialize_keras_object(config.pop("preprocessor"))
        return cls(preprocessor, **config)


def known_tokens(preprocessor):
    """The tokens of a preprocessor as a list of str, or None if they are unknown."""
    if hasattr(preprocessor, "tokens"):
        return preprocessor.tokens
    if hasattr(preprocessor, "tokenizer"):
        return preprocessor.tokenizer.get_vocabulary()
    if getattr(preprocessor, "folder", None) is not None:
        files = sorted(pathlib.Path(preprocessor.folder, "assets").glob("*vocab*.txt"))
        if len(files) == 1:
            return read_tokens(files[0])
    return None
