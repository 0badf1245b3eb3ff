"""How the tokenizers of MediaPipe's tasks read texts, in TensorFlow's operations.

From https://github.com/google-ai-edge/mediapipe, tasks/cc/text/tokenizers. Both use RE2, as
TensorFlow does, so that the same patterns split the same texts.
"""

import tensorflow as tf

from keras_distill._arguments.imports import import_module

# What "regex" splits at: the file says it. All blanks of Unicode, control characters and those
# without a width.
BLANKS = r"[\p{Z}\p{Cc}\p{Cf}]+"
# "bert" always splits at the blanks of ASCII and around these: punctuation marks and Chinese
# characters.
CJK = (
    r"\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2CEAF}"
    r"\x{2F800}-\x{2FA1F}"
)
MARKS = r"[!-/:-@\[-`{-~\p{P}" + CJK + "]"
# MediaPipe's RE2 has the marks of Unicode 16 and 17, which TensorFlow's does not have yet.
_NEWER_MARKS = (
    r"\x{1B4E}\x{1B4F}\x{1B7F}\x{10D6E}\x{10ED0}\x{113D4}\x{113D5}\x{113D7}\x{113D8}\x{11BE1}"
    r"\x{16D6D}-\x{16D6F}\x{1E5FF}"
)
_MARKS_IN_APPS = MARKS.removesuffix("]") + _NEWER_MARKS + "]"
# In a token it ends the process: TensorFlow Text's fast tokenizer ends a word with it.
NO_TOKEN = "\x11"
# "regex" looks these up for itself. The first would stand before every text; the file must have
# the others, which are then words, too.
RESERVED = START, PADDING, UNKNOWN = ("<START>", "<PAD>", "<UNKNOWN>")
_FIRST_PADDING = rf"^((?:{BLANKS})?){PADDING}((?:{BLANKS})|$)"


def split_at_blanks(texts):
    """The words of strings, `(batch,)`, as "regex" splits them: ragged, `(batch, words)`.

    The word "<PAD>" is padding to an app. As the first word it is made "<UNKNOWN>", because
    a text that begins with padding is one without words.
    """
    texts = tf.strings.regex_replace(_as_c_strings(texts), _FIRST_PADDING, rf"{UNKNOWN}\2")
    texts = tf.strings.regex_replace(texts, BLANKS, " ")
    return tf.strings.split(texts)


def split_at_marks(texts):
    """The words of strings, `(batch,)`, as "bert" splits and lowercases them.

    Of capital letters it lowercases those of ASCII only, and folds no others.
    """
    tf_text = import_module("tensorflow_text")
    texts = tf.strings.lower(_as_c_strings(texts))
    # A word with it is unknown to an app; no token has what stands for it here.
    texts = tf.strings.regex_replace(texts, NO_TOKEN, "\uffff")
    return tf_text.regex_split(texts, rf"\s+|{_MARKS_IN_APPS}", _MARKS_IN_APPS)


def spellings(word):
    """How texts may spell a word so that it is found: itself, with one and with all capitals.

    "regex" does not lowercase, so each spelling stands in the vocabulary's file. A word that
    has capital letters itself is spelled in this way alone.
    """
    others = (word.capitalize(), word.upper()) if word == word.lower() else ()
    # The capitals of "ß" are those of "ss".
    return (word, *(other for other in others if other.lower() == word and other != word))


def unspelled(word):
    """The word that a spelling is of."""
    lower = word.lower()
    return lower if word in spellings(lower) else word


def _as_c_strings(texts):
    # They end at the first NUL.
    return tf.strings.regex_replace(texts, r"(?s)\x00.*", "")
