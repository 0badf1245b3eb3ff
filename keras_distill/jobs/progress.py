"""The stages of a job: how long they will take, and what remains while they run."""

import contextlib
import time

import tensorflow as tf

from keras_distill.jobs import interruption

# Mostly the start of processes, which hardly depends on the data.
_EXPORT_SECONDS, _COMPARE_SECONDS = 25, 70


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


def stage_seconds(teacher, student, *, teacher_batches, answers, steps, test_batches):
    """Estimated seconds by stage, in the order in which the stages run.

    Args:
        teacher, student: Pairs of a model and a batch for it.
        teacher_batches: Batches that the teacher is trained on, 0 for a trained teacher.
        answers: Batches for which its outputs are stored.
        steps: Steps of each student.
        test_batches: Batches of the test set.
    """
    teacher, student = (_seconds_per_batch(*pair) for pair in (teacher, student))
    # A backward pass takes about twice as long as a forward pass.
    return {
        "train the teacher": 3 * teacher * teacher_batches,
        "store its answers": teacher * answers,
        "train the student alone": 3 * student * steps,
        "distil the student": 3 * student * steps,
        "export": _EXPORT_SECONDS,
        "compare": _COMPARE_SECONDS + teacher * test_batches,
    }


def describe_plan(work, notes):
    """Describes what a job would do, with sizes and times.

    Args:
        work: The job's data and settings: train, test and transfer_set, num_steps,
            num_duplicates, seconds().
        notes: Sentences about weaknesses of a ready teacher.

    Returns:
        A dict: summary, a text; num_train, num_test, num_transfer, num_duplicates, num_steps, and
        the estimated seconds of each stage.
    """
    seconds = work.seconds()
    lines = [str(work), *(f"Warning: {note}" for note in notes)]
    lines += [f"{name}: about {duration(s)}" for name, s in seconds.items()]
    lines.append(f"In all about {duration(sum(seconds.values()))}. Nothing was written.")
    return {
        "summary": "\n".join(lines),
        "num_train": len(work.train),
        "num_test": len(work.test),
        "num_transfer": len(work.transfer_set),
        "num_duplicates": work.num_duplicates,
        "num_steps": work.num_steps,
        "broken": list(work.broken),
        "seconds": seconds,
    }


def _seconds_per_batch(model, x):
    run = tf.function(lambda x: model(x, training=False), autograph=False)
    run(x)
    start = time.perf_counter()
    run(x)
    return time.perf_counter() - start
