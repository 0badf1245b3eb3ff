"""Numbers and schedules."""

import keras
import numpy as np
import pytest

from keras_distill._arguments.schedules import FRACTION
from keras_distill._arguments.schedules import POSITIVE
from keras_distill._arguments.schedules import Range
from keras_distill._arguments.schedules import check_number
from keras_distill._arguments.schedules import check_schedule
from keras_distill._arguments.schedules import is_schedule
from keras_distill._arguments.schedules import value_at

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
    assert check_number("alpha", value, FRACTION) == value


@pytest.mark.parametrize(
    "value",
    [2, -0.1, float("nan"), float("inf"), True, "0.5", None, [0.5], 1j, np.array([0.5, 0.5])],
    ids=repr,
)
def test_refused_numbers(value):
    """nan passes every comparison that is written the other way round; True is 1."""
    with pytest.raises(ValueError, match=r"^alpha must be a number from 0 to 1, or a") as error:
        check_number("alpha", value, FRACTION)
    assert str(error.value).endswith(f"LearningRateSchedule. Received: alpha={value!r}")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan")])
def test_not_finite_whatever_the_condition(value):
    """inf > 0 holds: a weight of inf would make every other term vanish."""
    with pytest.raises(ValueError, match=r"weight must be a number.*Received: weight="):
        check_number("weight", value, Range("a number", lambda number: True))


def test_a_schedule_is_not_evaluated():
    """Its steps are not known yet."""
    assert check_number("alpha", SCHEDULE, Range("nothing", lambda number: False)) is SCHEDULE


class TestSchedule:
    """PolynomialDecay(0, 100, 2) is step / 50: above 1 from step 51 on."""

    RISING = keras.optimizers.schedules.PolynomialDecay(0.0, 100, 2.0)

    @pytest.mark.parametrize(("first", "last"), [(0, 50), (40, 50), (50, 50), (20, 10)])
    def test_within_its_range(self, first, last):
        """Also with no step to come, where the number of steps is unknown."""
        assert check_schedule("alpha", self.RISING, FRACTION, first, last) is None

    @pytest.mark.parametrize(("first", "last", "step"), [(0, 51, 51), (0, 99, 51), (60, 60, 60)])
    def test_outside(self, first, last, step):
        message = (
            rf"^alpha must be a number from 0 to 1 at every step. Received: .* at step {step}\."
        )
        with pytest.raises(ValueError, match=message):
            check_schedule("alpha", self.RISING, FRACTION, first, last)

    def test_long_trainings_are_sampled_to_the_last_step(self):
        rising = keras.optimizers.schedules.PolynomialDecay(0.0, 10**6, 1.0)
        check_schedule("alpha", rising, Range("less", lambda number: number < 1), 0, 10**6 - 1)
        with pytest.raises(ValueError, match="Received: 1 at step 1000000"):
            check_schedule("alpha", rising, Range("less", lambda number: number < 1), 0, 10**6)

    def test_a_short_piece(self):
        """Shorter than what lies between two samples."""
        pieces = keras.optimizers.schedules.PiecewiseConstantDecay([1005, 1010], [0.5, 5.0, 0.5])
        check_schedule("alpha", pieces, FRACTION, 0, 1005)
        with pytest.raises(ValueError, match="Received: 5 at step 1006"):
            check_schedule("alpha", pieces, FRACTION, 0, 20_000)

    def test_rounding_is_no_error(self):
        """In float32, 0.1 + 0.9 and the like may be 1.0000001; a temperature of 1e-7 is 0."""
        above = keras.optimizers.schedules.PiecewiseConstantDecay([5], [1.0000001, 1.0])
        check_schedule("alpha", above, FRACTION, 0, 9)
        falling = keras.optimizers.schedules.PolynomialDecay(4.0, 10, 0.0)
        check_schedule("temperature", falling, POSITIVE, 0, 9)
        with pytest.raises(ValueError, match="Received: 0 at step 10"):
            check_schedule("temperature", falling, POSITIVE, 0, 10)

    def test_not_finite(self):
        """float32 ends at 3.4e38."""
        endless = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 1e10)
        with pytest.raises(ValueError, match="Received: inf at step 4"):
            check_schedule("temperature", endless, POSITIVE, 0, 9)

    def test_a_number(self):
        nothing = Range("nothing", lambda number: False)
        assert check_schedule("alpha", 0.5, nothing, 0, 9) is None
