import unicodedata

import pytest

from keras_distill._arguments.names import clean_name
from keras_distill._arguments.names import look_alike
from keras_distill._arguments.names import problem_of_name


@pytest.mark.parametrize(
    "typed",
    [
        "ä b",
        " ä b",
        "ä b\n",
        "\u00a0ä b\u3000",
        "\ufeffä b",
        "\u200bä b\u2028",
        "a\u0308 b",
        "\tä b\x85",
    ],
    ids=ascii,
)
def test_one_spelling(typed):
    assert clean_name(typed) == "ä b"
    assert problem_of_name(clean_name(typed)) is None


def test_the_end_of_an_emoji_belongs_to_it():
    assert clean_name(" \u2764\ufe0f ") == "\u2764\ufe0f"


@pytest.mark.parametrize("name", ["", " ", "\u200b", "\ufeff \u3164", "\n"], ids=ascii)
def test_nothing_to_be_seen_is_no_name(name):
    assert clean_name(name) == ""
    assert problem_of_name(name) == "is empty, or nothing but blanks"


@pytest.mark.parametrize("letter", ["\n", "\0", "\x1b", "\x7f", "\x85", "\u2028"], ids=ascii)
def test_names_are_of_one_line(letter):
    assert "control character" in problem_of_name(f"a{letter}b")


@pytest.mark.parametrize(
    "name", ["a\ud83d", "nan", "<NA>", "NULL", r"\N", "#REF!", " a", "a\ufeff"], ids=ascii
)
def test_no_names(name):
    assert problem_of_name(name) is not None


@pytest.mark.parametrize(
    "pair",
    [
        ("Positive", "positive"),
        ("very bad", "very\u00a0bad"),
        ("very bad", "very  bad"),
        ("posi\u200btive", "positive"),
        ("co\u00adop", "coop"),
        ("\uff41", "a"),
        ("\ufb01ne", "fine"),
        ("1", "1.0"),
        ("01", "+1"),
        ("\u2764", "\u2764\ufe0f"),
        ("ÄRGER", "ärger"),
        ("don't", "don\u2019t"),
        ("self-help", "self\u2010help"),
        ("1-2", "1\u22122"),
        ('"a"', "\u201ca\u201d"),
    ],
    ids=ascii,
)
def test_what_a_reader_takes_for_one(pair):
    assert set(look_alike(["zebra", pair[0], "aardvark", pair[1]])) == set(pair)


@pytest.mark.parametrize(
    "names",
    [("Masse", "Maße"), ("1.1", "1.10"), ("-1", "1"), ("a b", "ab"), ("é", "e"), ("B-x", "I-x")],
)
def test_different_names(names):
    assert look_alike(names) is None


@pytest.mark.long
def test_every_character():
    """Of all of Unicode: what is left behind the cleaning stays, and comes out of a second one."""
    for number in range(0x110000):
        letter = chr(number)
        name = clean_name(f"a{letter}b")
        assert name == unicodedata.normalize("NFC", f"a{letter}b")
        around = clean_name(f"{letter}b{letter}")
        assert clean_name(around) == around
