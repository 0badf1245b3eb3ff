"""Hidden folders beside what is written: those of killed processes go, those in use stay."""

import pathlib
import signal
import subprocess
import sys

import pytest

import keras_distill
from keras_distill._files.destination import hidden_folder
from keras_distill._files.destination import replaced_file

# Without the package, which takes seconds to import.
HOLD = """
import pathlib, sys, time, types
package = sys.modules["keras_distill"] = types.ModuleType("keras_distill")
package.__path__ = [sys.argv[1]]
from keras_distill._files import destination
with destination.hidden_folder(pathlib.Path(sys.argv[2])) as hidden:
    (hidden / "large").write_bytes(bytes(100))
    print(hidden, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writing(tmp_path):
    """A process with a hidden folder, and the folder."""
    command = [sys.executable, "-c", HOLD, keras_distill.__path__[0], str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield process, pathlib.Path(process.stdout.readline().strip())
    process.kill()
    process.wait()
    process.stdout.close()


def test_what_a_killed_process_left_goes_with_the_next_one(writing, tmp_path):
    process, hidden = writing
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (hidden / "large").exists()
    with replaced_file(tmp_path / "file") as path:
        path.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_process_writes_stays(writing, tmp_path):
    _, hidden = writing
    with hidden_folder(tmp_path) as other, hidden_folder(tmp_path) as third:
        assert len({hidden, other, third}) == 3
        assert all(folder.is_dir() for folder in (hidden, other, third))
    assert (hidden / "large").exists()


@pytest.mark.timeout(20)
def test_what_is_replaced_within_what_is_replaced(tmp_path):
    """Models replace their own files; in a hidden folder that waited for its own lock."""
    with replaced_file(tmp_path / "file") as path, replaced_file(path) as again:
        again.write_text("new")
    assert (tmp_path / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_server_takes_it_for_a_version(tmp_path):
    with hidden_folder(tmp_path) as hidden:
        assert hidden.name.startswith(".")
        assert not hidden.name.isdigit()
