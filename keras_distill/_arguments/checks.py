"""Checks of a user's arguments, before any work is done: one function for each kind.

Each function takes the argument's name and its value, and returns the plain value: an int for an
integer of NumPy's, so that a configuration can be written to JSON. It raises `ValueError` for
anything else. True and False are no numbers, and numbers are not True or False.
"""

import math
import numbers
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Sized

import numpy as np

LARGEST_SEED = 2**32 - 1
# A runtime that is asked for a million threads starts as many as it can: other programs of the
# machine get none, and it crashes.
_MOST_THREADS = 1024


def check_integer(name, value, minimum=1, maximum=None, *, optional=False):
    """Returns an integer in [minimum, maximum] as an int; None too, if it is optional."""
    if value is None and optional:
        return None
    if not is_integer(value) or value < minimum:
        raise ValueError(
            f"{name} must be an integer of {minimum} or more. Received: {name}={value!r}"
        )
    if maximum is not None and value > maximum:
        raise ValueError(
            f"{name} must be an integer of {maximum} or less. Received: {name}={value!r}"
        )
    return int(value)


def check_seed(name, value, *, optional=False):
    """Returns a seed that `keras.utils.set_random_seed` takes; None too, if it is optional."""
    return check_integer(name, value, 0, LARGEST_SEED, optional=optional)


def check_num_threads(name, value):
    """Returns a number of threads that a machine can start."""
    return check_integer(name, value, 1, _MOST_THREADS)


def check_positive(name, value):
    """Returns a finite number above 0 as an int or float."""
    if not (is_finite(value) and value > 0):
        raise ValueError(f"{name} must be a positive finite number. Received: {name}={value!r}")
    return plain(value)


def check_at_least(name, value, minimum=0):
    """Returns a finite number of `minimum` or more as an int or float."""
    if not (is_finite(value) and value >= minimum):
        raise ValueError(f"{name} must be a finite number >= {minimum}. Received: {name}={value!r}")
    return plain(value)


def check_rate(name, value, *, with_zero=True, with_one=True):
    """Returns a number in [0, 1] as an int or float; the interval may exclude an end."""
    fits = is_finite(value) and 0 <= value <= 1
    if not fits or (value == 0 and not with_zero) or (value == 1 and not with_one):
        interval = f"{'[' if with_zero else '('}0, 1{']' if with_one else ')'}"
        raise ValueError(f"{name} must be a rate in {interval}. Received: {name}={value!r}")
    return plain(value)


def check_boolean(name, value):
    """Returns True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False. Received: {name}={value!r}")
    return bool(value)


def check_choice(name, value, choices):
    """Returns the one of several strings that a value is."""
    # An array is equal to nothing or to several things.
    for choice in choices:
        if isinstance(value, type(choice)) and value == choice:
            return choice
    raise ValueError(f"{name} must be one of {tuple(choices)}. Received: {name}={value!r}")


def check_function(name, value, message):
    """Returns a function; the message, a sentence, says what it must do."""
    if not callable(value):
        remedy = ""
        if hasattr(value, "signatures"):
            remedy = f". Of a SavedModel give a signature: {name}.signatures['serving_default']."
        raise ValueError(f"{message} Received: {name}={value!r}{remedy}")
    return value


def check_names(name, value, message):
    """Returns a tuple of strings; a string is a list of one. The message says of what."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, Collection) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"{message} Received: {name}={value!r}")
    return tuple(names)


def check_sizes(name, value, count=None, message=None):
    """Returns a tuple of integers of 1 or more, `count` of them, or at least one."""
    if not are_sizes(value, count) or not len(value):
        message = message or f"{name} must be a tuple of integers of 1 or more."
        raise ValueError(f"{message} Received: {name}={value!r}")
    return tuple(map(int, value))


def check_image_size(value):
    """Returns an image_size, a pair of integers of 1 or more, as a tuple."""
    message = "image_size must be a pair of integers of 1 or more, height and width."
    return check_sizes("image_size", value, 2, message)


def check_rising(name, value):
    """Returns a tuple of integers of 1 or more, each larger than the one before."""
    if not are_sizes(value) or not len(value) or list(value) != sorted(set(value)):
        raise ValueError(
            f"{name} must be rising integers of 1 or more, such as [8, 16, 32]. "
            f"Received: {name}={value!r}"
        )
    return tuple(map(int, value))


def check_numbers(name, value, count, check):
    """Returns a tuple of `count` numbers, each of which fits a check such as `check_positive`."""
    values = value if isinstance(value, Sized) and isinstance(value, Iterable) else ()
    if len(values) != count:
        raise ValueError(
            f"{name} must be a list of {count} numbers, one for each. Received: {name}={value!r}"
        )
    return tuple(check(f"{name}[{place}]", number) for place, number in enumerate(values))


def check_image_shape(name, value, num_stages):
    """Returns the shape of images that can be halved `num_stages` times as a tuple of ints."""
    if not are_sizes(value, 3) or min(tuple(value)[:2]) < 2**num_stages:
        raise ValueError(
            f"{name} must be (height, width, channels), of {2**num_stages} pixels or more for "
            f"{num_stages} stages. Received: {name}={value!r}"
        )
    return tuple(map(int, value))


def plain(number):
    """An int or float as it is, and a float for other finite numbers, such as those of NumPy."""
    return number if type(number) in (int, float) else float(number)


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
