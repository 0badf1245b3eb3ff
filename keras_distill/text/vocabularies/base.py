"""Base class of all vocabularies: strings to ids, in tf.data and inside models."""

import collections
import re

import keras
import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import check_integer
from keras_distill.text.reading.files import numbered_lines
from keras_distill.text.vocabularies import mediapipe

PADDING, UNKNOWN, START, END, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Vocabulary(keras.layers.Layer):
    """The base of `WordPieceVocabulary` and `WordVocabulary`: ids of texts, padded with 0.

    The layer works on lists and arrays of strings, in `tf.data`, and on a string
    `keras.Input` of a Functional model. It is saved with the model,
    including its tokens.

    A subclass defines `_split`. Id 0 is "[PAD]" and never an id of a text.

    Args:
        tokens: List of str; a token's index is its id. The first token is "[PAD]", and the
            list contains "[UNK]".
        sequence_length: The largest number of ids of a text, including special tokens; longer
            texts are cut at the end. `num_truncated` counts them.
        add_special_tokens: Whether the ids of a text are enclosed in "[CLS]" and "[SEP]".
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        texts: Strings, `(batch,)`, or `(batch, 2)` for pairs.

    Returns:
        int32 ids, `(batch, length)`, or `(batch, 2, length)` for pairs, padded with 0 to
        the longest text of the batch. A text without a token becomes one "[UNK]", so that no
        model reads only padding.

    Raises:
        ValueError: If the texts are not strings of such a shape.
    """

    def __init__(self, tokens, sequence_length=128, add_special_tokens=False, **kwargs):
        super().__init__(**kwargs)
        tokens = list(tokens)
        _check_tokens(tokens, add_special_tokens)
        smallest = 3 if add_special_tokens else 1
        self.sequence_length = check_integer("sequence_length", sequence_length, minimum=smallest)
        self.add_special_tokens = add_special_tokens
        self.supports_jit = False
        # Keras would wrap and track each of the tokens in a list.
        object.__setattr__(self, "_tokens", tuple(tokens))

    @property
    def tokens(self):
        """The tokens, a list of str; a token's index is its id."""
        return list(self._tokens)

    def __len__(self):
        return len(self._tokens)

    def __call__(self, texts, *args, **kwargs):
        texts = as_strings("texts", texts)
        if len(texts.shape) != 1 and texts.shape[1:] != (2,):
            raise ValueError(
                "texts must have the shape (batch,), or (batch, 2) for pairs. Received: texts of "
                f"shape {tuple(texts.shape)}. Put a single text into a list; unbatch a dataset "
                "that is to be batched by length; words of tagged texts are for tokenize_words."
            )
        return super().__call__(texts, *args, **kwargs)

    def build(self, input_shape):
        self.built = True

    def call(self, texts):
        pieces = self.pieces(tf.reshape(texts, [-1]))
        ids = self._cut(pieces, self.add_special_tokens, self.add_special_tokens).to_tensor()
        return tf.reshape(ids, tf.concat([tf.shape(texts), tf.shape(ids)[1:]], axis=0))

    def compute_output_spec(self, texts):
        return keras.KerasTensor((*texts.shape, None), dtype="int32")

    def pieces(self, texts):
        """Returns the ids of all pieces, not cut and without special tokens.

        Args:
            texts: Strings, `(batch,)`.

        Returns:
            An int32 `tf.RaggedTensor`, `(batch, pieces)`, with at least one id per text.
        """
        pieces = self._split(as_strings("texts", texts))
        return self._name_unknown(pieces, pieces.row_lengths() == 0)

    def tokenize_words(self, words):
        """Returns the inputs of a tagging model.

        Args:
            words: Strings, `(batch, words)`, padded with "".

        Returns:
            A dict of int32: "token_ids", `(batch, length)`, which begin with "[CLS]" (and end
            with "[SEP]" if `add_special_tokens`); "word_starts", `(batch,
            words)`, the position in token_ids of each word's first piece, 0 for padding
            and for words that sequence_length cut off.

        Raises:
            ValueError: If the words are not strings of that shape, or if the vocabulary
                has no "[CLS]".
        """
        words = as_strings("words", words)
        if len(words.shape) != 2:
            raise ValueError(
                "words must have the shape (batch, words), padded with ''. "
                f"Received: words of shape {tuple(words.shape)}"
            )
        if START not in self._tokens or self.sequence_length < 2 + self.add_special_tokens:
            raise ValueError(
                f"Tagging needs {START!r} in the vocabulary, and room for a word beside it. "
                f"Received: sequence_length={self.sequence_length} and the tokens "
                f"{self.tokens[:8]}..."
            )
        is_word = words != ""
        pieces = self._split(tf.reshape(words, [-1]))
        is_lost = tf.logical_and(pieces.row_lengths() == 0, tf.reshape(is_word, [-1]))
        pieces = self._name_unknown(pieces, is_lost)
        num_pieces = tf.reshape(tf.cast(pieces.row_lengths(), tf.int32), tf.shape(words))
        starts = tf.cumsum(num_pieces, axis=1, exclusive=True) + 1
        num_kept = self.sequence_length - self.add_special_tokens
        starts = tf.where(tf.logical_and(is_word, starts < num_kept), starts, 0)
        texts = tf.RaggedTensor.from_row_lengths(
            pieces.flat_values, tf.reduce_sum(num_pieces, axis=1), validate=False
        )
        token_ids = self._cut(texts, True, self.add_special_tokens).to_tensor()
        return {"token_ids": token_ids, "word_starts": starts}

    def num_truncated(self, texts):
        """Counts the texts or pairs that `sequence_length` cuts.

        Args:
            texts: Strings, `(batch,)`, or `(batch, 2)` for pairs; only eager, not in a graph.
        """
        texts = as_strings("texts", texts)
        lengths = self.pieces(tf.reshape(texts, [-1])).row_lengths().numpy()
        is_cut = lengths > self.sequence_length - 2 * self.add_special_tokens
        return int(np.count_nonzero(np.any(is_cut.reshape(len(texts), -1), axis=1)))

    def get_config(self):
        config = {
            "tokens": self.tokens,
            "sequence_length": self.sequence_length,
            "add_special_tokens": self.add_special_tokens,
        }
        return {**super().get_config(), **config}

    def _split(self, texts):
        """Maps strings, `(batch,)`, to a ragged int32 tensor, `(batch, pieces)`."""
        raise NotImplementedError

    def _name_unknown(self, pieces, is_unknown):
        lengths = tf.cast(is_unknown, tf.int64)
        ids = tf.fill([tf.reduce_sum(lengths)], self._tokens.index(UNKNOWN))
        unknown = tf.RaggedTensor.from_row_lengths(ids, lengths, validate=False)
        return tf.concat([pieces, unknown], axis=1)

    def _cut(self, pieces, with_start, with_end):
        parts = [pieces[:, : self.sequence_length - with_start - with_end]]
        if with_start:
            parts.insert(0, tf.fill([pieces.nrows(), 1], self._tokens.index(START)))
        if with_end:
            parts.append(tf.fill([pieces.nrows(), 1], self._tokens.index(END)))
        return tf.concat(parts, axis=1)


def read_tokens(path):
    """Reads a vocabulary file with one token per line.

    Args:
        path: Path of a UTF-8 file.

    Returns:
        A list of str.

    Raises:
        ValueError: If the file cannot be read, is empty or not UTF-8, or has a blank line.
    """
    tokens = []
    for number, line in numbered_lines(path):
        tokens.append(line)
        if len(tokens) < number:
            raise ValueError(
                f"{path}, line {len(tokens)} is blank. Each line must hold one entry, as its "
                "number is the number of the line."
            )
    return tokens


def _check_tokens(tokens, add_special_tokens):
    strange = [token for token in tokens if not isinstance(token, str) or not token]
    if strange:
        raise ValueError(f"tokens must be non-empty strings. Received: {strange[:5]}")
    if not tokens or tokens[0] != PADDING:
        raise ValueError(
            f"The first token must be {PADDING!r}: id 0 is padding. Received: tokens that begin "
            f"with {tokens[:5]}. Put it first, or learn a vocabulary of your own."
        )
    needed = (UNKNOWN, START, END) if add_special_tokens else (UNKNOWN,)
    missing = [token for token in needed if token not in tokens]
    if missing:
        raise ValueError(
            f"The vocabulary has no {missing[0]!r}. Received: {len(tokens)} tokens that begin with "
            f"{tokens[:5]}. Add it: every text needs an id for what is not in the vocabulary, and "
            f"add_special_tokens=True needs {START!r} and {END!r}."
        )
    if len(set(tokens)) < len(tokens):
        repeated = [token for token, count in collections.Counter(tokens).items() if count > 1]
        raise ValueError(f"tokens must differ. Received more than once: {repeated[:5]}")


def as_strings(name, texts):
    if not isinstance(texts, keras.KerasTensor):
        try:
            texts = tf.convert_to_tensor(texts)
        except (ValueError, TypeError) as error:
            raise ValueError(_not_strings(name, repr(texts)[:200])) from error
    if texts.dtype != "string":
        raise ValueError(
            _not_strings(name, f"dtype {keras.backend.standardize_dtype(texts.dtype)}")
        )
    return texts


def _not_strings(name, received):
    return (
        f"{name} must be strings: a list, an array or a tensor of dtype string, not ragged. "
        f"Received: {received}"
    )


def split_words(texts, split_punctuation):
    """Splits strings, `(batch,)`, into words, a ragged tensor `(batch, words)`.

    Args:
        texts: String tensor.
        split_punctuation: Whether punctuation marks and Chinese characters are separate
            words. "[MASK]" stays one word.
    """
    # tf.strings.split knows only ASCII whitespace.
    texts = tf.strings.regex_replace(texts, mediapipe.BLANKS, " ")
    if split_punctuation:
        texts = tf.strings.regex_replace(texts, r"\[MASK\]|" + mediapipe.MARKS, r" \0 ")
    return tf.strings.split(texts)


def check_for_apps(vocabulary, tokenizer, wanted):
    has = {name: getattr(vocabulary, name) for name in wanted}
    if has != wanted:
        raise ValueError(
            f"for_apps=True is to read texts as MediaPipe's {tokenizer!r} tokenizer does, which is "
            f"with {wanted}. Received: {has}"
        )
    strange = f"[ \n\r{mediapipe.NO_TOKEN}]"
    if apart := [token for token in vocabulary.tokens if re.search(strange, token)]:
        raise ValueError(
            "With for_apps=True, no token may have a blank, a line end or U+0011 in it: an app's "
            f"file has one token a line. Received: {apart[:5]}. Leave these tokens out."
        )


def for_apps_config(vocabulary):
    # The key is written only if set, so that configurations stay equal to those of older versions.
    return {"for_apps": True} if vocabulary.for_apps else {}
