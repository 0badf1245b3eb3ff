"""Ctrl-C that ends a job even where TensorFlow swallows it."""

import contextlib
import signal
import threading

import keras

_received = False


@contextlib.contextmanager
def watched():
    """A context in which `check` raises `KeyboardInterrupt` once Ctrl-C has come.

    As ever, it is raised at once. But in `fit` one is lost now and then without a word:
    TensorFlow calls Python from C++, and clears the errors of some of these calls. It is checked
    behind each step of a training and before each stage.
    """
    global _received
    before = signal.getsignal(signal.SIGINT)
    # Only the main thread gets signals, and who has a handler of his own knows why.
    if threading.current_thread() is not threading.main_thread() or (
        before is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, _receive)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _received = False


def check():
    """Raises `KeyboardInterrupt` if Ctrl-C has come."""
    if _received:
        raise KeyboardInterrupt


def callback():
    """A callback of `fit` that checks it behind every step."""
    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: check())


def _receive(number, frame):
    global _received
    _received = True
    raise KeyboardInterrupt
