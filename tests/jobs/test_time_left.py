import pytest

from keras_distill.jobs.time_left import TimeLeft
from keras_distill.jobs.time_left import duration

ESTIMATES = {"train": 40, "distil": 60, "export": 8, "compare": 20}


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def shown(speed):
    """The estimates of every second of a job whose trainings take `speed` times as long."""
    clock = Clock()
    left, found = TimeLeft(ESTIMATES, clock), []
    for name, seconds in ESTIMATES.items():
        left.begin(name)
        found.append(left.seconds())
        has_steps = name not in ("export", "compare")
        seconds = round(seconds * (speed if has_steps else 1))
        for second in range(seconds):
            if has_steps:
                left.advance(second / seconds)
            clock.now += 1
            if has_steps:
                left.advance((second + 1) / seconds)
            found.append(left.seconds())
    return found


@pytest.mark.parametrize("speed", [0.5, 1, 1.5])
def test_it_goes_down_to_nothing(speed):
    found = shown(speed)
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0
    # Every estimate in the second half is right.
    half = found[len(found) // 2 :]
    assert all(abs(value - place) < 20 for place, value in enumerate(reversed(half)))


@pytest.mark.parametrize("speed", [0.5, 1, 2])
def test_stages_of_a_fixed_length_are_not_scaled(speed):
    left = shown(speed)
    assert left[-28] == pytest.approx(26)


def test_steps_of_an_earlier_run_took_no_time_now():
    clock = Clock()
    left = TimeLeft({"train": 100, "export": 8}, clock)
    left.begin("train")
    left.advance(0.9)
    assert left.seconds() == pytest.approx(10 + 8)
    clock.now += 10
    left.advance(1.0)
    assert left.seconds() == pytest.approx(8)


def test_a_stage_that_was_done_before_scales_nothing():
    clock = Clock()
    left = TimeLeft(ESTIMATES, clock)
    left.begin("train")
    left.begin("distil")
    assert left.seconds() == pytest.approx(88)


def test_durations_in_words():
    assert [duration(s) for s in (0, 89.4, 200, 8000)] == ["0 s", "89 s", "3 minutes", "2.2 hours"]
