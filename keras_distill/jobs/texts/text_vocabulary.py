"""The vocabulary of a text job: words, or word pieces if spaces do not separate words."""

import numpy as np

from keras_distill.text.vocabularies.base import UNKNOWN
from keras_distill.text.vocabularies.word_pieces import WordPieceVocabulary
from keras_distill.text.vocabularies.words import WordVocabulary

# With a smaller share of known words, most of a text is unknown.
ENOUGH = 0.5
_MAX_TEXTS, _EVERY, _CHUNK = 50_000, 10, 4096
# With rarer pieces, whole sentences would become pieces.
_MIN_PIECE_COUNT = 5


def has_words(texts, size):
    """Whether splitting at spaces works: half of the words of held-out texts are known.

    Chinese, Japanese and Thai have no spaces between words, so that nearly every sentence is
    a word of its own, which no other text contains.

    Args:
        texts: Object array of str.
        size: Number of words that a student knows.
    """
    texts = texts[:: -(-len(texts) // _MAX_TEXTS)]
    is_held_out = np.arange(len(texts)) % _EVERY == 0
    if is_held_out.all():
        return True
    vocabulary = WordVocabulary.learn(texts[~is_held_out], size, for_apps=True)
    return known_share(vocabulary, texts[is_held_out]) >= ENOUGH


def learn_vocabulary(texts, size, sequence_length, are_words):
    """Learns a vocabulary of words or word pieces that tokenizes like MediaPipe."""
    settings = {"sequence_length": sequence_length, "for_apps": True}
    if are_words:
        return WordVocabulary.learn(texts, size, **settings)
    return WordPieceVocabulary.learn(texts, size, min_count=_MIN_PIECE_COUNT, **settings)


def tokenizer_of(vocabulary):
    """The name of MediaPipe's tokenizer that matches a vocabulary."""
    return "bert" if isinstance(vocabulary, WordPieceVocabulary) else "regex"


def known_share(vocabulary, texts):
    """The share of the words of texts that a vocabulary knows, in [0, 1].

    With word pieces, a word is known if it can be made of pieces.
    """
    tokens = vocabulary.tokens
    is_word = np.ones(len(tokens), bool)
    if isinstance(vocabulary, WordPieceVocabulary):
        is_word = np.array([not token.startswith("##") for token in tokens])
    num_words = num_unknown = 0
    for start in range(0, len(texts), _CHUNK):
        chunk = list(texts[start : start + _CHUNK])
        ids = vocabulary.pieces(chunk).flat_values.numpy()
        num_words += np.count_nonzero(is_word[ids])
        num_unknown += np.count_nonzero(ids == tokens.index(UNKNOWN))
    return 1 - num_unknown / max(1, num_words)


def warnings_of(vocabulary, texts):
    """A tuple with a sentence if a vocabulary knows under half of the test set's words."""
    share = known_share(vocabulary, texts)
    if share >= ENOUGH:
        return ()
    reason = ""
    if isinstance(vocabulary, WordPieceVocabulary):
        reason = " MediaPipe's tokenizer takes a word of more than 100 bytes for unknown."
    warning = (
        f"Warning: the students know {share:.0%} of the words of the test texts, too few to read "
        f"them.{reason} Give more texts like those of the test set (unlabelled), or put blanks "
        "between the words of all texts."
    )
    return (warning,)
