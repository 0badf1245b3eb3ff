"""Tokenizes texts as MediaPipe's TextClassifier does for a TFLite file with metadata."""

import numpy as np
import tensorflow as tf

from keras_distill._arguments.printable import one_line
from keras_distill.export.tflite.metadata_reading import read_tokenizer
from keras_distill.text import WordPieceVocabulary
from keras_distill.text.vocabularies import mediapipe

_BETWEEN = b"\0"
_START, _PADDING, _UNKNOWN = mediapipe.RESERVED


def app_tokenizer(path, sequence_length, empty_is_unknown=False):
    """The tokenizer in a file's metadata.

    Args:
        path: The file, a `pathlib.Path`, of any origin.
        sequence_length: The number of ids that the model reads.
        empty_is_unknown: Whether a text that begins with padding, or has no words, begins with
            an unknown word to a "regex" tokenizer, as it does to a `WordVocabulary`. To an app
            it is padding, which our files themselves replace.

    Returns:
        A function from a list of texts to int32 ids, `(texts, sequence_length)`; None for a file
        without tokenizer.

    Raises:
        ValueError: If the metadata or the vocabulary cannot be read.
    """
    found = read_tokenizer(path)
    if found is None:
        return None
    name, pattern, lines = found
    try:
        if name == "regex":
            return _RegexTokenizer(pattern, lines, sequence_length, empty_is_unknown)
        tokens = [line for line in lines if line]
        vocabulary = WordPieceVocabulary(tokens, sequence_length, for_apps=True)
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} must have a vocabulary that its {name!r} tokenizer can use. Received: "
            f"{one_line(error)} Export the model again."
        ) from error
    return lambda texts: _padded(vocabulary(texts).numpy(), sequence_length)


class _RegexTokenizer:
    """Looks up the words between the matches of a pattern.

    Args:
        pattern: The pattern of RE2 that separates words.
        lines: Lines of a word, a space and its id.
        sequence_length: The number of ids of a text.
        empty_is_unknown: Whether padding at the beginning of a text is an unknown word.
    """

    def __init__(self, pattern, lines, sequence_length, empty_is_unknown):
        pairs = [line.rsplit(" ", 1) for line in lines if line.strip()]
        self._ids = {pair[0].encode(): int(pair[-1]) for pair in pairs}
        missing = [name for name in (_PADDING, _UNKNOWN) if name.encode() not in self._ids]
        if missing:
            raise ValueError(f"The vocabulary must have {' and '.join(missing)}.")
        self._pattern, self._length = pattern, sequence_length
        start = self._ids.get(_START.encode())
        self._first = [] if start is None else [start]
        self._empty_is_unknown = empty_is_unknown

    def __call__(self, texts):
        # A text ends at its first NUL, so that no text has one in it.
        texts = tf.strings.regex_replace(texts, r"(?s)\x00.*", "")
        texts = tf.strings.regex_replace(texts, self._pattern, _BETWEEN).numpy()
        unknown = self._ids[_UNKNOWN.encode()]
        padding = self._ids[_PADDING.encode()]
        rows = np.full((len(texts), self._length), padding, "int32")
        for row, text in zip(rows, texts):
            words = [self._ids.get(word, unknown) for word in text.split(_BETWEEN) if word]
            ids = [*self._first, *words][: self._length]
            row[: len(ids)] = ids
        if self._empty_is_unknown:
            rows[rows[:, 0] == padding, 0] = unknown
        return rows


def _padded(ids, length):
    return np.pad(ids, [(0, 0), (0, length - ids.shape[1])])
