import pytest

from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill._arguments.printable import printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, café 中文 😀 \xa0\u3000", "plain, café 中文 😀 \xa0\u3000"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("a\nb\rc\td\x00\x9b", r"a\nb\rc\td\x00\x9b"),
        ("\u202eevil\u2066\ufeff\u200b\xad", r"\u202eevil\u2066\ufeff\u200b\xad"),
        ("\u2028\u2029\x85", r"\u2028\u2029\x85"),
        ("\ud800 \udcff", r"\ud800 \udcff"),
        # What is joined is one letter each time.
        ("👩\u200d💻 मे\u200cर", "👩\u200d💻 मे\u200cर"),
    ],
)
def test_what_a_terminal_would_obey(text, shown):
    assert printable(text) == shown
    shown.encode("utf-8")
    assert printable(printable(text)) == shown


def test_lines_stay():
    assert printable_lines("a\x1b\nb\r\n") == "a\\x1b\nb\\r\n"


def test_an_error_of_others_on_one_line():
    assert one_line(ValueError("Wrong\n\n  value:\t\x1b[2J")) == r"Wrong value: \x1b[2J"
    assert one_line(KeyError()) == "KeyError"
    assert len(one_line(ValueError("x" * 10_000))) == 2000
