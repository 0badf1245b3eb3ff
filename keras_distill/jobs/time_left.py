"""How long the stages of a job take, and how much time is left."""

import time

import tensorflow as tf

# Hardly more for much data: conversions, and the starts of processes.
_EXPORT_SECONDS, _COMPARE_SECONDS, _TIMING_SECONDS = 8, 12, 10
# Before its first step, each training traces its graphs.
_BEGIN_SECONDS = 4
# Their length does not depend on how fast a model trains.
_FIXED = ("export", "compare")


class TimeLeft:
    """Estimates the time left of a job; the estimate never rises.

    Args:
        seconds: Dict from the names of all stages, in their order, to their estimated seconds.
        clock: Function that returns seconds.
    """

    def __init__(self, seconds, clock=time.monotonic):
        self._estimates, self._clock = dict(seconds), clock
        self._later = list(seconds)
        # Measured time as a multiple of the estimate, in the stages with steps.
        self._ratio, self._before = 1.0, 1.0
        self._name, self._begin = None, clock()
        self._first = self._share = None
        self._shown = float("inf")

    def begin(self, name):
        """Begins a stage; the one before it has ended."""
        self._name, self._begin = name, self._clock()
        self._later = self._later[self._later.index(name) + 1 :]
        self._before = self._ratio
        self._first = self._share = None

    def advance(self, share):
        """Notes which share of the stage's steps is done, counting those of an earlier run."""
        if self._first is None:
            self._first = share
            self._begin = self._clock()
        self._share = share
        done, estimate = share - self._first, self._estimates[self._name]
        if done > 0:
            measured = (self._clock() - self._begin) / done / max(estimate, 1)
            # The first steps say little.
            self._ratio = done * measured + (1 - done) * self._before

    @property
    def share(self):
        """Share of the stage's steps that is done; None for a stage without steps."""
        return self._share

    def seconds(self):
        """The estimated seconds until the job ends."""
        estimate = self._scaled(self._name)
        if self._share is None:
            left = max(0.0, estimate - (self._clock() - self._begin))
        else:
            left = estimate * (1 - self._share)
        left += sum(map(self._scaled, self._later))
        self._shown = min(self._shown, left)
        return self._shown

    def _scaled(self, name):
        return self._estimates[name] * (1 if name in _FIXED else self._ratio)


def duration(seconds):
    """A length of time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"


def stage_seconds(teacher, student, *, teacher_batches, answers, steps, test_batches, timings):
    """Estimated seconds by stage, in the order in which the stages run.

    Args:
        teacher, student: Pairs of a model and a batch for it.
        teacher_batches: Batches that the teacher is trained on, 0 for a trained teacher.
        answers: Batches for which its outputs are stored.
        steps: Steps of each student.
        test_batches: Batches of the test set.
        timings: Numbers of threads on which the files are timed.
    """
    teacher, student = (_seconds_per_batch(*pair) for pair in (teacher, student))
    # A backward pass takes about twice as long as a forward pass.
    fit = 3 * student * steps + _BEGIN_SECONDS
    return {
        "train the teacher": (3 * teacher * teacher_batches + _BEGIN_SECONDS)
        * bool(teacher_batches),
        "store its answers": teacher * answers,
        "train the student alone": fit,
        "distil the student": fit,
        "export": _EXPORT_SECONDS,
        "compare": _COMPARE_SECONDS + _TIMING_SECONDS * len(timings) + teacher * test_batches,
    }


def _seconds_per_batch(model, x):
    run = tf.function(lambda x: model(x, training=False), autograph=False)
    run(x)
    return min(_seconds(run, x) for _ in range(3))


def _seconds(run, x):
    start = time.perf_counter()
    run(x)
    return time.perf_counter() - start
