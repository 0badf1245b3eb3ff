"""Checks of arguments that are numbers or sizes, before any work is done."""

import math
import numbers
from collections.abc import Iterable
from collections.abc import Sized


def check_integers(minimum=1, **values):
    """Raises `ValueError` unless every value, given by its argument's name, is an integer."""
    for name, value in values.items():
        if not is_integer(value) or value < minimum:
            raise ValueError(
                f"{name} must be an integer of {minimum} or more. Received: {name}={value!r}"
            )


def check_rates(with_one=True, **rates):
    """Raises `ValueError` unless every rate, given by its name, is in [0, 1], or [0, 1)."""
    for name, rate in rates.items():
        if not (is_finite(rate) and (0 <= rate < 1 or (with_one and rate == 1))):
            interval = "[0, 1]" if with_one else "[0, 1)"
            raise ValueError(f"{name} must be a rate in {interval}. Received: {name}={rate!r}")


def check_positive(**values):
    """Raises `ValueError` unless every value, given by its argument's name, is above 0."""
    for name, value in values.items():
        if not (is_finite(value) and value > 0):
            raise ValueError(f"{name} must be a positive finite number. Received: {name}={value!r}")


def check_not_negative(**values):
    """Raises `ValueError` unless every value, given by its argument's name, is 0 or more."""
    for name, value in values.items():
        if not (is_finite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number >= 0. Received: {name}={value!r}")


def is_finite(value):
    """Whether this is a finite number. True and False are not numbers."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def is_integer(value):
    """Whether this is an integer. True and False are not integers."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def are_sizes(values, count=None):
    """Whether these are integers of 1 or more, `count` of them if given."""
    is_list = isinstance(values, Sized) and isinstance(values, Iterable)
    fits = is_list and count in (None, len(values))
    return fits and all(is_integer(value) and value >= 1 for value in values)


def check_image_shape(input_shape, num_stages):
    """Raises `ValueError` unless images of this shape can be halved `num_stages` times."""
    if not are_sizes(input_shape, 3) or min(tuple(input_shape)[:2]) < 2**num_stages:
        raise ValueError(
            f"input_shape must be (height, width, channels), of {2**num_stages} pixels or more for "
            f"{num_stages} stages. Received: input_shape={input_shape!r}"
        )
