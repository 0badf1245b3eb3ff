"""Keeps the terminal free of what TensorFlow and other libraries write below Python."""

import contextlib
import logging
import os
import subprocess
import sys

from keras_distill_cli import crash_output

_STDERR = 2


@contextlib.contextmanager
def quiet(is_debug):
    """A context in which only Python writes to standard error, unless `is_debug`.

    C++ libraries, and child processes, write to the file descriptor 2: TensorFlow does so even at
    the highest log level while it is imported. In this context the descriptor leads to a process
    that keeps the last lines, and shows them only if this process crashes. `sys.stderr` goes
    where it went before, with Python's own warnings, errors and tracebacks.

    Yields:
        A function without arguments after which a crash no longer shows what was written before.
    """
    if is_debug:
        yield lambda: None
        return
    # Read once, when TensorFlow is imported; child processes inherit it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", crash_output.__file__],
        stdin=subprocess.PIPE,
        # Ctrl-C must not end it before this process.
        start_new_session=True,
    )
    kept = os.dup(_STDERR)
    disabled = logging.root.manager.disable
    try:
        with _python_writes_to(kept):
            os.dup2(keeper.stdin.fileno(), _STDERR)
            # TensorFlow, absl and KerasHub also log in Python.
            logging.disable()
            yield lambda: os.write(_STDERR, crash_output.FORGET)
    finally:
        logging.disable(disabled)
        os.dup2(kept, _STDERR)
        os.close(kept)
        # Nothing is left to show. A child process may still hold the pipe open.
        keeper.kill()
        keeper.stdin.close()
        keeper.wait()


@contextlib.contextmanager
def _python_writes_to(descriptor):
    """Lets `sys.stderr` write to a descriptor, if it has written to descriptor 2."""
    if not _is_of_descriptor(sys.stderr):
        yield
        return
    sys.stderr.flush()
    with (
        open(
            descriptor,
            "w",
            buffering=1,
            encoding=sys.stderr.encoding,
            errors="backslashreplace",
            closefd=False,
        ) as stream,
        contextlib.redirect_stderr(stream),
    ):
        yield


def _is_of_descriptor(stream):
    try:
        return stream.fileno() == _STDERR
    except (AttributeError, OSError):
        # Tests and notebooks replace the stream by an object of Python's.
        return False
