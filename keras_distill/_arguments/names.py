"""Names of classes: one spelling for each, and no two that look alike."""

import functools
import itertools
import re
import unicodedata

# Invisible characters that belong to no name: formats such as the byte order mark, fillers, and
# variation selectors.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_NUMBER = re.compile(r"([+-]?)0*(\d+)(\.0*)?")
# pandas, SQL and Excel write a cell without a value in these ways.
_MISSING = {
    *("nan", "NaN", "NaT", "<NA>", "NULL", r"\N"),
    *("#N/A", "#VALUE!", "#REF!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!"),
}
# Word processors replace typed quotation marks and dashes by these.
_TYPED = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4`", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
)


@functools.lru_cache(maxsize=4096)
def clean_name(name):
    """A name in the form for comparisons: Unicode NFC, without invisible characters around it.

    Args:
        name: A str that people typed.

    Returns:
        A str without spaces, line ends and invisible characters at its beginning and end; it may be
        empty.
    """
    name = unicodedata.normalize("NFC", name)
    seen = [place for place, letter in enumerate(name) if not _is_blank(letter)]
    if not seen:
        return ""
    # A variation selector after the last character, as in an emoji, belongs to that character.
    end = seen[-1] + 1
    while end < len(name) and unicodedata.category(name[end]) == "Mn":
        end += 1
    return name[seen[0] : end]


@functools.lru_cache(maxsize=4096)
def problem_of_name(name):
    """The problem with the name of a class, as a part of a sentence; None without problem."""
    if not clean_name(name):
        return "is empty, or nothing but blanks"
    if clean_name(name) != unicodedata.normalize("NFC", name):
        return "has blanks or other characters that nobody sees around it"
    for letter in name:
        category = unicodedata.category(letter)
        if category in ("Cc", "Zl", "Zp"):
            return f"has a line end or another control character in it, {letter!a}"
        if category == "Cs":
            return f"has half a character in it, {letter!a}"
    if name in _MISSING:
        return "is how tables spell a missing value"
    return None


def look_alike(names):
    """The first two names that look alike, or None.

    Such names differ only in capitals, spaces, invisible characters, forms of the same letter (full
    width, ligatures), quotation marks or dashes, or are the same whole number.

    Args:
        names: Different str, in any order.

    Returns:
        A tuple of two of them, or None.
    """
    by_look = sorted(names, key=_look)
    pairs = itertools.pairwise(by_look)
    return next((pair for pair in pairs if _look(pair[0]) == _look(pair[1])), None)


def _look(name):
    name = unicodedata.normalize("NFKC", name.translate(_TYPED)).lower()
    # Some letters, such as the Turkish capital I with a dot, become two characters in lower case.
    name = unicodedata.normalize("NFKC", name)
    letters = ("" if _is_invisible(letter) else letter for letter in name)
    name = " ".join("".join(letters).split())
    number = _NUMBER.fullmatch(name)
    return f"{number[1].removeprefix('+')}{number[2]}" if number else name


def _is_invisible(letter):
    return unicodedata.category(letter) == "Cf" or _INVISIBLE.match(letter) is not None


def _is_blank(letter):
    return letter.isspace() or unicodedata.category(letter) == "Cc" or _is_invisible(letter)
