"""What may crash, or be stopped, does so in another process."""

import gc
import os
import signal
import time

import keras
import numpy as np
import pytest

from keras_distill import export_tflite
from keras_distill.export.child_process import ChildProcess
from keras_distill.export.child_process import CrashError
from keras_distill.export.child_process import RefusalError
from keras_distill.export.tflite import conversion

SCRIPT = """
import os, time

def answer(arrays, number=None, seconds=0.0, kill=None, refuse=None):
    print("what libraries print is no answer")
    time.sleep(seconds)
    if kill is not None:
        os.kill(os.getpid(), kill)
    if refuse is not None:
        raise ValueError(refuse)
    return {"number": number, "process": os.getpid()}, arrays
"""


@pytest.fixture
def process(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return ChildProcess(str(path))


@pytest.fixture
def stopped_after():
    """Makes a function that has KeyboardInterrupt raised after some seconds, as Ctrl-C does."""

    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_arrays_come_back(process):
    arrays = {
        "floats": np.arange(6, dtype="float32").reshape(2, 3)[:, ::2],
        "number": np.array(7, "int8"),
        "none": np.zeros((0, 4)),
        "texts": np.array(["a", "Zürich"], object),
    }
    fields, found = process.ask(arrays, number=3)
    assert fields["number"] == 3
    for name in ("floats", "number", "none"):
        np.testing.assert_array_equal(found[name], arrays[name])
        assert found[name].dtype == arrays[name].dtype
    assert found["texts"].tolist() == [b"a", "Zürich".encode()]


def test_a_stopped_request_gets_no_later_request_its_answer(process, stopped_after):
    """The answer to the stopped one still comes, and would be read as the next one's."""
    process.ask(number=0)
    stopped_after(0.3)
    with pytest.raises(KeyboardInterrupt):
        process.ask(number=1, seconds=0.8)
    for number in (2, 3):
        assert process.ask(number=number)[0]["number"] == number


def test_a_crash_names_the_signal_and_the_next_request_runs(process):
    with pytest.raises(CrashError, match=r"^SIGSEGV: what libraries print"):
        process.ask(kill=int(signal.SIGSEGV))
    assert process.ask(number=2)[0]["number"] == 2


def test_an_error_is_an_answer(process):
    """In one line, without what a terminal obeys."""
    first, _ = process.ask()
    with pytest.raises(RefusalError, match=r"^no such \\x1b\[2J file$"):
        process.ask(refuse="no such\n\x1b[2J file")
    assert process.ask()[0]["process"] == first["process"]


def test_it_ends_with_its_object(process, tmp_path):
    other = ChildProcess(str(tmp_path / "script.py"))
    number = other.ask()[0]["process"]
    del other
    gc.collect()
    deadline = time.time() + 10
    while time.time() < deadline and os.path.exists(f"/proc/{number}"):
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{number}")


@pytest.mark.long
def test_a_stopped_export_spoils_no_later_one(tmp_path, stopped_after):
    """The stop button of a notebook, while the converter is at work or still starts."""

    def dense(size):
        return keras.Sequential([keras.Input((size,)), keras.layers.Dense(3)])

    conversion._process._running.end()
    stopped_after(1.5)
    with pytest.raises(KeyboardInterrupt):
        # The converter needs longer than that to start.
        export_tflite(dense(4), tmp_path / "stopped.tflite")
    report = export_tflite(dense(5), tmp_path / "later.tflite")
    assert report.max_difference < 1e-5
    assert report.path.stat().st_size == report.num_bytes
