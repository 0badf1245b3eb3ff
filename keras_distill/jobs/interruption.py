"""Makes Ctrl-C end a job even if TensorFlow swallows the interrupt."""

import contextlib
import signal
import sys
import threading

import keras

_received = False


@contextlib.contextmanager
def watched():
    """A context in which `check` raises `KeyboardInterrupt` once Ctrl-C has come.

    Python raises it at once, as usual. But in `fit` it is sometimes lost silently: TensorFlow
    calls Python from C++, and clears the errors of some of these calls. So the job also checks
    after each training step and before each stage. Where Python itself cannot raise it, in a
    destructor, it would print a traceback and go on; here it does so without a word.
    """
    global _received
    before = signal.getsignal(signal.SIGINT)
    # Only the main thread gets signals; a user's own handler must not be replaced.
    if threading.current_thread() is not threading.main_thread() or (
        before is not signal.default_int_handler
    ):
        yield
        return
    hook = sys.unraisablehook
    sys.unraisablehook = lambda found: _is_interrupt(found) or hook(found)
    signal.signal(signal.SIGINT, _receive)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = hook
        _received = False


def check():
    """Raises `KeyboardInterrupt` if Ctrl-C has come."""
    if _received:
        raise KeyboardInterrupt


def callback():
    """A callback of `fit` that calls `check` after every step."""
    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: check())


def _is_interrupt(found):
    return issubclass(found.exc_type, KeyboardInterrupt)


def _receive(number, frame):
    global _received
    _received = True
    raise KeyboardInterrupt
