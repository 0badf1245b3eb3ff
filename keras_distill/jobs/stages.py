"""The stages of a job, with the remaining time."""

import contextlib
import time

from keras_distill.jobs import interruption


class Stages:
    """Prints which stage begins, and about how long the job will take.

    Args:
        seconds: Dict from the names of all stages to their estimated seconds.
    """

    def __init__(self, seconds):
        self._estimates = dict(seconds)
        self._names = list(seconds)
        self._begin = time.monotonic()
        self._ratio = 1.0

    @contextlib.contextmanager
    def __call__(self, name):
        """A context in which the stage runs."""
        interruption.check()
        place = self._names.index(name)
        left = self._ratio * sum(self._estimates[other] for other in self._names[place:])
        print(f"[{place + 1}/{len(self._names)}] {name} (about {duration(left)} left)")
        start = time.monotonic()
        yield
        # The measured time corrects the estimates of later stages; a stage that was already done
        # measures nothing.
        ratio = (time.monotonic() - start) / max(self._estimates[name], 1)
        if ratio > 0.1:
            self._ratio = ratio

    def end(self):
        """Prints how long the job took."""
        print(f"Took {duration(time.monotonic() - self._begin)}.")


def duration(seconds):
    """A length of time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
