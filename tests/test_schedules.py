"""Numbers and schedules."""

import keras
import numpy as np
import pytest

from keras_distill.schedules import check_number
from keras_distill.schedules import is_schedule
from keras_distill.schedules import value_at

SCHEDULE = keras.optimizers.schedules.PiecewiseConstantDecay([10], [1.0, 0.25])


def test_is_schedule():
    """A function of the step is none: it could not be saved."""
    assert is_schedule(SCHEDULE)
    for value in (1.0, "cosine", None, lambda step: 1.0):
        assert not is_schedule(value)


def test_value_at():
    """A number stays the object that it is; a schedule gives its value at the step."""
    assert value_at(0.3, 99) == 0.3
    assert float(value_at(SCHEDULE, 10)) == 1.0
    assert float(value_at(SCHEDULE, 11)) == 0.25


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.int64(1), SCHEDULE])
def test_allowed_numbers(value):
    """Python's and NumPy's numbers, and any schedule."""
    assert check_number("alpha", value, "a number from 0 to 1", lambda a: 0 <= a <= 1) is None


@pytest.mark.parametrize(
    "value",
    [2, -0.1, float("nan"), float("inf"), True, "0.5", None, [0.5], 1j, np.array([0.5, 0.5])],
    ids=repr,
)
def test_refused_numbers(value):
    """nan passes every comparison that is written the other way round; True is 1."""
    with pytest.raises(ValueError, match=r"^alpha must be a number from 0 to 1, or a") as error:
        check_number("alpha", value, "a number from 0 to 1", lambda a: 0 <= a <= 1)
    assert str(error.value).endswith(f"LearningRateSchedule. Received: alpha={value!r}")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan")])
def test_not_finite_whatever_the_condition(value):
    """inf > 0 holds: a weight of inf would make every other term vanish."""
    with pytest.raises(ValueError, match=r"weight must be a number.*Received: weight="):
        check_number("weight", value, "a number", lambda number: True)


def test_a_schedule_is_not_evaluated():
    """Its values are the user's: the condition holds for numbers only."""
    check_number("alpha", SCHEDULE, "nothing", lambda a: False)
