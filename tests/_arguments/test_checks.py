"""One check for each kind of argument: it returns the plain value, and names what it refuses."""

import fractions
import functools
import re

import numpy as np
import pytest

from keras_distill._arguments import checks
from keras_distill._arguments import schedules

NAMES = functools.partial(checks.check_names, message="x must be a list of names.")
FUNCTION = functools.partial(checks.check_function, message="x must be a function.")
PAIR = functools.partial(checks.check_numbers, count=2, check=checks.check_positive)
IMAGE = functools.partial(checks.check_image_shape, num_stages=2)
OPEN = functools.partial(checks.check_rate, with_zero=False, with_one=False)
CHOICE = functools.partial(checks.check_choice, choices=("mean", "first"))
ALPHA = functools.partial(schedules.check_number, allowed=schedules.FRACTION)
OPTIONAL = functools.partial(checks.check_integer, optional=True)
NO_NUMBERS = (True, np.True_, "1", None, [1], float("nan"), np.inf)


def image_size(name, value):
    return checks.check_image_size(value)


@pytest.mark.parametrize(
    ("check", "value", "plain"),
    [
        (checks.check_integer, 3, 3),
        (checks.check_integer, np.int32(3), 3),
        (checks.check_integer, np.int64(3), 3),
        (checks.check_integer, np.uint8(3), 3),
        (OPTIONAL, None, None),
        (OPTIONAL, np.int16(1), 1),
        (checks.check_positive, 2, 2),
        (checks.check_positive, np.float32(0.5), 0.5),
        (checks.check_positive, np.float64(0.5), 0.5),
        (checks.check_positive, np.int64(2), 2.0),
        (checks.check_positive, fractions.Fraction(1, 2), 0.5),
        (checks.check_at_least, np.float64(0), 0.0),
        (checks.check_rate, 0, 0),
        (checks.check_rate, np.float32(1), 1.0),
        (OPEN, np.float16(0.5), 0.5),
        (ALPHA, np.float32(0.25), 0.25),
        (checks.check_boolean, False, False),
        (checks.check_boolean, np.True_, True),
        (CHOICE, np.str_("mean"), "mean"),
        (FUNCTION, len, len),
        (NAMES, "one", ("one",)),
        (NAMES, ["one", "two"], ("one", "two")),
        (checks.check_sizes, [np.int64(1), 2], (1, 2)),
        (checks.check_sizes, np.array([1, 2]), (1, 2)),
        (checks.check_rising, (1, np.int32(8)), (1, 8)),
        (PAIR, np.array([0.5, 1.0]), (0.5, 1.0)),
        (IMAGE, np.array([8, 4, 3]), (8, 4, 3)),
        (image_size, [np.int64(8), 4], (8, 4)),
    ],
)
def test_returns_the_plain_value(check, value, plain):
    found = check("x", value)
    assert found == plain
    assert type(found) is type(plain)
    if isinstance(plain, tuple):
        assert list(map(type, found)) == list(map(type, plain))


@pytest.mark.parametrize(
    ("check", "refused"),
    [
        (checks.check_integer, (*NO_NUMBERS, 0, -1, 3.0, np.float32(3), np.array([3]))),
        (OPTIONAL, (True, 0, 1.0)),
        (checks.check_seed, (*NO_NUMBERS, -1, 2**32, 0.5)),
        (checks.check_num_threads, (*NO_NUMBERS, 0, 10**6)),
        (checks.check_positive, (*NO_NUMBERS, 0, -0.5)),
        (checks.check_at_least, (*NO_NUMBERS, -0.5)),
        (checks.check_rate, (*NO_NUMBERS, -0.5, 1.5)),
        (OPEN, (*NO_NUMBERS, 0, 1)),
        (ALPHA, (*NO_NUMBERS, -0.5, 1.5)),
        (checks.check_boolean, (0, 1, "True", None, np.int64(1))),
        (CHOICE, ("max", None, 1, np.array(["mean", "first"]))),
        (FUNCTION, (None, "len", 1)),
        (NAMES, (None, 3, [1], [None])),
        (checks.check_sizes, (3, (), [], (0,), (1.0,), (True,), "12", None)),
        (checks.check_rising, (3, (), (2, 1), (1, 1), (0, 1), (1.5,), (True, 2), None)),
        (PAIR, (1.0, [1.0], [1.0, 0.0], [1.0, True], None)),
        (IMAGE, ((8, 8), (2, 8, 3), (None, 8, 3), 8)),
        (image_size, (8, (8,), (8, 0), (8, True), "88")),
    ],
)
def test_names_what_it_refuses(check, refused):
    name = "image_size" if check is image_size else "x"
    for value in refused:
        wanted = rf"^{name}(\[\d\])? must be .*\. Received: {name}(\[\d\])?="
        with pytest.raises(ValueError, match=re.compile(wanted, re.DOTALL)):
            check(name, value)


@pytest.mark.parametrize(
    ("settings", "interval"),
    [
        ({}, "[0, 1]"),
        ({"with_one": False}, "[0, 1)"),
        ({"with_zero": False}, "(0, 1]"),
        ({"with_zero": False, "with_one": False}, "(0, 1)"),
    ],
)
def test_the_interval_of_a_rate(settings, interval):
    with pytest.raises(ValueError, match=re.escape(f"rate must be a rate in {interval}. ")):
        checks.check_rate("rate", 2, **settings)
