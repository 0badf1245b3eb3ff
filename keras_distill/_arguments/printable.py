"""Makes untrusted texts (names, labels and messages) safe to print on a terminal."""

import unicodedata

# Control characters, bidirectional and invisible formats, surrogates, line and paragraph
# separators: a terminal executes them, or shows different names as equal.
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Both characters join letters, for instance in Persian and in emoji.
_JOINERS = "\u200c\u200d"
_MAX_LETTERS = 2000


def printable(text):
    """A text on one line, with escapes such as `\\x1b` for characters that control a terminal."""
    return "".join(map(_shown, str(text)))


def printable_lines(text):
    """As `printable`, but keeps the lines of a text."""
    return "\n".join(map(printable, str(text).split("\n")))


def one_line(error):
    """An error's message, often of another library, as one line."""
    message = printable(" ".join(str(error).split())) or type(error).__name__
    is_long = len(message) > _MAX_LETTERS
    return f"{message[: _MAX_LETTERS - 1]}…" if is_long else message


def _shown(letter):
    is_hidden = unicodedata.category(letter) in _HIDDEN and letter not in _JOINERS
    return ascii(letter)[1:-1] if is_hidden else letter
