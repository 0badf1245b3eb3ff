"""Shows the stages of a job: a line for each, which renews itself on a terminal."""

import contextlib
import sys
import time

import keras

from keras_distill.jobs import interruption
from keras_distill.jobs.progress_line import ProgressLine
from keras_distill.jobs.time_left import TimeLeft
from keras_distill.jobs.time_left import duration

_WIDTH = 30


class Stages:
    """Shows which stage runs, how far it is, and about how much time is left of the job.

    Args:
        seconds: Dict from the names of all stages to their estimated seconds.
        verbose: Whether Keras shows its epochs. The stages' lines then do not renew themselves,
            and neither do they if the output is not a terminal.
        clock: Function that returns seconds.
    """

    def __init__(self, seconds, *, verbose=False, clock=time.monotonic):
        self._names, self._verbose, self._clock = list(seconds), verbose, clock
        self._left = TimeLeft(seconds, clock)
        self._begin = clock()

    @contextlib.contextmanager
    def __call__(self, name):
        """A context in which the stage runs."""
        interruption.check()
        self._left.begin(name)
        title, begin, is_over = self._title(name), self._clock(), False
        if self._verbose or not sys.stdout.isatty():
            print(f"{title}, about {duration(self._left.seconds())} left")
            yield
            return

        def text():
            if is_over:
                return f"{title:<{_WIDTH}}  {duration(self._clock() - begin)}"
            share = self._left.share
            done = "    " if share is None else f"{share:4.0%}"
            return f"{title:<{_WIDTH}}  {done}  about {duration(self._left.seconds())} left"

        with ProgressLine(sys.stdout, text).shown():
            yield
            is_over = True

    def of_fit(self, num_steps, num_done=0):
        """Arguments of `fit` that show the steps of the present stage, and obey Ctrl-C.

        Args:
            num_steps: Steps of the whole stage.
            num_done: Steps that were made before this `fit`.
        """
        self._left.advance(num_done / num_steps)
        progress = _StepCounter(self._left, num_steps, num_done)
        return {
            "callbacks": [interruption.callback(), progress],
            "verbose": "auto" if self._verbose else 0,
        }

    def end(self):
        """Prints how long the job took."""
        print(f"Took {duration(self._clock() - self._begin)}.")

    def _title(self, name):
        return f"[{self._names.index(name) + 1}/{len(self._names)}] {name}"


class _StepCounter(keras.callbacks.Callback):
    def __init__(self, left, num_steps, num_done):
        super().__init__()
        self._left, self._num_steps, self._num_done = left, num_steps, num_done

    def on_train_batch_end(self, batch, logs=None):
        self._num_done += 1
        self._left.advance(self._num_done / self._num_steps)


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
