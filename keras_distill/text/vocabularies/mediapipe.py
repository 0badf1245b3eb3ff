"""The tokenizers of MediaPipe's tasks in TensorFlow operations.

The source is https://github.com/google-ai-edge/mediapipe, tasks/cc/text/tokenizers. MediaPipe and
TensorFlow both use RE2, so that the same patterns split texts in the same way.
"""

import tensorflow as tf

from keras_distill._arguments.imports import import_module

# The "regex" tokenizer splits at this pattern, which is written into the file: all Unicode
# spaces, control characters and zero-width characters.
BLANKS = r"[\p{Z}\p{Cc}\p{Cf}]+"
# The "bert" tokenizer always splits at ASCII whitespace, and around punctuation marks and Chinese
# characters.
CJK = (
    r"\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2CEAF}"
    r"\x{2F800}-\x{2FA1F}"
)
MARKS = r"[!-/:-@\[-`{-~\p{P}" + CJK + "]"
# MediaPipe's RE2 knows the punctuation marks of Unicode 16 and 17; TensorFlow's does not yet.
_NEWER_MARKS = (
    r"\x{1B4E}\x{1B4F}\x{1B7F}\x{10D6E}\x{10ED0}\x{113D4}\x{113D5}\x{113D7}\x{113D8}\x{11BE1}"
    r"\x{16D6D}-\x{16D6F}\x{1E5FF}"
)
_MARKS_IN_APPS = MARKS.removesuffix("]") + _NEWER_MARKS + "]"
# A token with this character crashes the process, as TensorFlow Text's fast tokenizer ends words
# with it.
NO_TOKEN = "\x11"
# The "regex" tokenizer looks up these tokens. It would put the first before every text; the file
# must contain the others, which are then words, too.
RESERVED = START, PADDING, UNKNOWN = ("<START>", "<PAD>", "<UNKNOWN>")
_FIRST_PADDING = rf"^((?:{BLANKS})?){PADDING}((?:{BLANKS})|$)"


def split_at_blanks(texts):
    """The words of strings, `(batch,)`, as "regex" splits them: ragged, `(batch, words)`.

    An app treats the word "<PAD>" as padding. As a first word it is replaced by "<UNKNOWN>",
    because a text that begins with padding counts as a text without words.
    """
    texts = tf.strings.regex_replace(_as_c_strings(texts), _FIRST_PADDING, rf"{UNKNOWN}\2")
    texts = tf.strings.regex_replace(texts, BLANKS, " ")
    return tf.strings.split(texts)


def split_at_marks(texts):
    """The words of strings, `(batch,)`, as "bert" splits and lowercases them.

    It lowercases only ASCII letters.
    """
    tf_text = import_module("tensorflow_text")
    texts = tf.strings.lower(_as_c_strings(texts))
    # An app does not know a word with this character; no token contains the replacement.
    texts = tf.strings.regex_replace(texts, NO_TOKEN, "\uffff")
    return tf_text.regex_split(texts, rf"\s+|{_MARKS_IN_APPS}", _MARKS_IN_APPS)


def spellings(word):
    """The spellings in which texts may contain a word: as it is, capitalized, in all capitals.

    The "regex" tokenizer does not lowercase, so the vocabulary's file contains each spelling. A
    word that itself has capital letters has only this spelling.
    """
    others = (word.capitalize(), word.upper()) if word == word.lower() else ()
    # The capitals of "ß" are "SS", whose lowercase is "ss".
    return (word, *(other for other in others if other.lower() == word and other != word))


def unspelled(word):
    """The word to which a spelling belongs."""
    lower = word.lower()
    return lower if word in spellings(lower) else word


def _as_c_strings(texts):
    # C strings end at the first NUL.
    return tf.strings.regex_replace(texts, r"(?s)\x00.*", "")
