"""Numbers that may change while training: a float, or a Keras schedule of the step."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_distill._arguments.checks import is_finite
from keras_distill._arguments.checks import plain

_CHECKED_STEPS = 200


class Range(NamedTuple):
    """The finite numbers that an argument accepts, in words for an error, and as a condition."""

    words: str
    holds: Callable


FRACTION = Range("a number from 0 to 1", lambda number: 0 <= number <= 1)
NOT_NEGATIVE = Range("a finite number >= 0", lambda number: number >= 0)
POSITIVE = Range("a positive finite number", lambda number: number > 0)


def is_schedule(value):
    return isinstance(value, LearningRateSchedule)


def value_at(value, step):
    """Returns the value at optimizer step `step`."""
    return value(step) if is_schedule(value) else value


def in_dtype(value, dtype):
    """Numbers as a tensor of a dtype; Keras's cast() would first round floats to float32."""
    return ops.cast(value, dtype) if tf.is_tensor(value) else ops.convert_to_tensor(value, dtype)


def check_number(name, value, allowed):
    """Returns a schedule, or a number of the `Range` allowed as a plain one."""
    if not (is_schedule(value) or (is_finite(value) and allowed.holds(value))):
        raise ValueError(
            f"{name} must be {allowed.words}, or a keras.optimizers.schedules.LearningRateSchedule."
            f" Received: {name}={value!r}"
        )
    return value if is_schedule(value) else plain(value)


def check_schedule(name, value, allowed, first, last):
    """Raises `ValueError` if `value` is a schedule that leaves its `Range`.

    Args:
        name: The argument's name, for the error.
        value: A number or a schedule.
        allowed: The `Range`.
        first: The first optimizer step that counts.
        last: The last step that counts. If there are many steps, only some are checked.
    """
    if not is_schedule(value):
        return
    steps = np.linspace(first, max(first, last), _CHECKED_STEPS).astype(int)
    # A PiecewiseConstantDecay changes its value at these steps.
    changes = 1 + np.asarray(getattr(value, "boundaries", []), int)
    for step in np.union1d(steps, changes[(first <= changes) & (changes <= last)]):
        number = float(value_at(value, int(step)))
        # A schedule computes in float32, so 1.0000001 counts as 1.
        if not (is_finite(number) and allowed.holds(round(number, 6))):
            raise ValueError(
                f"{name} must be {allowed.words} at every step. Received: {number:g} at step "
                f"{step}. Give its schedule other values, or train for fewer steps."
            )
