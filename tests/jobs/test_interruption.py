import contextlib
import signal
import sys
import threading

import keras
import numpy as np
import pytest

from keras_distill.jobs import interruption
from keras_distill.jobs.progress import Stages


@pytest.fixture(autouse=True)
def as_in_the_foreground():
    """What runs in the background of a shell script ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send_and_swallow():
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_swallowed_one_ends_training_behind_the_step():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: steps.append(1))
    callbacks = [interruption.callback(), count]
    x, y = np.ones((6, 2)), np.ones((6, 1))
    with interruption.watched():
        send_and_swallow()
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y, batch_size=1, verbose=0, callbacks=callbacks)
    assert len(steps) == 1
    model.fit(x, y, batch_size=1, verbose=0, callbacks=callbacks)
    assert len(steps) == 1 + 6


def test_a_swallowed_one_ends_the_job_before_the_next_stage():
    stages = Stages({"first": 1, "second": 1})
    with interruption.watched():
        with stages("first"):
            send_and_swallow()
        with pytest.raises(KeyboardInterrupt), stages("second"):
            pytest.fail("The second stage ran.")


def test_it_is_raised_at_once_and_the_handler_put_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruption.watched():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    interruption.check()


def test_handlers_of_others_stay():
    received = []
    before = signal.signal(signal.SIGINT, lambda *_: received.append(1))
    try:
        with interruption.watched():
            signal.raise_signal(signal.SIGINT)
            interruption.check()
    finally:
        signal.signal(signal.SIGINT, before)
    assert received == [1]


def test_in_another_thread_nothing_is_installed():
    handlers = []

    def work():
        with interruption.watched():
            handlers.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_one_in_a_destructor_has_no_traceback(capsys):
    """Python can only print it there. The job ends at its next check."""

    class Interrupted:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    class Broken:
        def __del__(self):
            raise OSError("something else")

    found = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda raised: found.append(raised.exc_type)
    try:
        with interruption.watched():
            Interrupted()
            Broken()
            with pytest.raises(KeyboardInterrupt):
                interruption.check()
    finally:
        sys.unraisablehook = before
    assert found == [OSError]
    assert capsys.readouterr().err == ""
