"""Words and word pieces learned from texts."""

import collections
import os
import re

import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.imports import import_module
from keras_distill.text.vocabularies import mediapipe
from keras_distill.text.vocabularies.base import SPECIAL_TOKENS
from keras_distill.text.vocabularies.base import split_words
from keras_distill.text.vocabularies.word_vectors import vector_words

_CHUNK = 4096
_LARGEST_CHARACTER_RATE = 0.8


def frequent_words(
    texts, vocabulary_size, *, lowercase, split_punctuation, among, min_count, for_apps
):
    """Returns the words of a vocabulary; `WordVocabulary.learn` has the arguments."""
    vocabulary_size, min_count = _check_counts(vocabulary_size, min_count)

    def split(chunk):
        if for_apps:
            return mediapipe.split_at_blanks(chunk)
        chunk = tf.strings.lower(chunk, encoding="utf-8") if lowercase else chunk
        return split_words(chunk, split_punctuation)

    counts = _count_words(texts, split)
    if for_apps:
        counts = _count_unspelled(counts, lowercase)
    if isinstance(among, (str, os.PathLike)):
        among = vector_words(among)
    allowed = counts if among is None else set(among)
    words = [
        word
        for word, count in _by_frequency(counts)
        if count >= min_count and word in allowed and word not in SPECIAL_TOKENS
    ]
    return words[: vocabulary_size - len(SPECIAL_TOKENS)]


def learned_pieces(texts, vocabulary_size, *, lowercase, strip_accents, min_count, for_apps):
    """Returns the tokens of a vocabulary; `WordPieceVocabulary.learn` has the arguments."""
    vocabulary_size, min_count = _check_counts(vocabulary_size, min_count)
    tf_text = import_module("tensorflow_text")
    learner = import_module("tensorflow_text.tools.wordpiece_vocab.wordpiece_tokenizer_learner_lib")

    def split(chunk):
        if for_apps:
            return mediapipe.split_at_marks(chunk)
        # KerasHub's tokenizer strips accents in the same way.
        if strip_accents:
            chunk = tf_text.normalize_utf8(chunk, "NFD")
            chunk = tf.strings.regex_replace(chunk, r"\p{Mn}", "")
        words = split_words(chunk, split_punctuation=True)
        return tf_text.case_fold_utf8(words) if lowercase else words

    counts = _count_words(texts, split)
    num_places = vocabulary_size - len(SPECIAL_TOKENS)
    is_cjk = re.compile("[" + re.sub(r"\\x{(\w+)}", _character, mediapipe.CJK) + "]").fullmatch
    characters = [word for word, _ in _by_frequency(counts) if is_cjk(word)]
    characters = characters[: int(_LARGEST_CHARACTER_RATE * num_places)]
    words = {
        word: count
        for word, count in counts.items()
        if not is_cjk(word) and word not in SPECIAL_TOKENS and mediapipe.NO_TOKEN not in word
    }
    pieces = []
    if words:
        pieces = _learn_pieces(learner, words, num_places - len(characters), min_count)
    return [*SPECIAL_TOKENS, *characters, *pieces]


def _learn_pieces(learner, counts, num_pieces, min_count):
    # The learner bisects for the smallest count of a string that becomes a piece. Words have at
    # most two pieces on average, and sentences without spaces one for every four letters, so no
    # count above `highest` can fill the vocabulary.
    letters = set("".join(counts))
    num_letters = sum(len(word) * count for word, count in counts.items())
    num_strings = max(2 * sum(counts.values()), num_letters // 4)
    highest = max(num_strings // max(1, num_pieces - 2 * len(letters)) + 1, min_count)
    # The learner limits the count to that of the most frequent word, which is 1 if sentences are
    # words. So a letter gets a higher count: it is a piece at any count, and has no parts.
    letter = min(letters)
    counts = {**counts, letter: counts.get(letter, 0) + highest}
    pieces = learner.learn(
        counts, num_pieces, reserved_tokens=[], upper_thresh=highest, lower_thresh=min_count
    )
    # Letters come first, so that a cut list of pieces can still spell every word.
    return sorted(pieces, key=lambda piece: len(piece.removeprefix("##")) > 1)[:num_pieces]


def _check_counts(vocabulary_size, min_count):
    """Returns the size of a vocabulary, which needs room for a word, and the smallest count."""
    smallest = len(SPECIAL_TOKENS) + 1
    vocabulary_size = check_integer("vocabulary_size", vocabulary_size, minimum=smallest)
    return vocabulary_size, check_integer("min_count", min_count)


def _count_words(texts, split):
    """Returns a Counter of words, split by a function from strings to ragged strings."""
    texts = np.asarray(list(texts), dtype=object).reshape(-1)
    split = tf.function(split, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    counts = collections.Counter()
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        strange = [text for text in chunk if not isinstance(text, (str, bytes))]
        if strange:
            raise ValueError(f"texts must be strings, or pairs of them. Received: {strange[0]!r}")
        counts.update(split(tf.constant(chunk)).flat_values.numpy().tolist())
    if not counts:
        raise ValueError(f"texts must have words to learn from. Received: {len(texts)} texts.")
    return collections.Counter({word.decode("utf-8"): n for word, n in counts.items()})


def _count_unspelled(counts, lowercase):
    """Merges the counts of words as spelled in texts into counts of the words that they match."""
    found = collections.Counter()
    for spelling, count in counts.items():
        if spelling not in mediapipe.RESERVED:
            found[mediapipe.unspelled(spelling) if lowercase else spelling] += count
    return found


def _by_frequency(counts):
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _character(match):
    return chr(int(match[1], 16))
