"""TensorFlow takes a path for a pattern; temporary folders may be in such a place, too."""

import os
import signal
import subprocess
import sys
import tempfile

import keras
import pytest
import tensorflow as tf

import keras_distill as kd
from keras_distill._files.plain_path import plain_path
from keras_distill._files.plain_path import temporary_folder


@pytest.fixture
def pattern(tmp_path, monkeypatch):
    """TMPDIR is a folder whose name is a pattern."""
    folder = tmp_path / "tmp [1] {a}*?"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_links_are_elsewhere(pattern):
    (pattern / "module").mkdir()
    link = plain_path(pattern / "module")
    assert not set("[]{}*?") & set(link)
    assert os.path.samefile(link, pattern / "module")
    with temporary_folder() as folder:
        assert not set("[]{}*?") & set(folder)


def test_nowhere_to_go(pattern, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    match = r"TMPDIR must name a folder.*tmp \[1\].*Set TMPDIR"
    with pytest.raises(ValueError, match=match), temporary_folder():
        pass


# Without the package, which takes seconds to import.
HOLD = """
import sys, time, types
package = sys.modules["keras_distill"] = types.ModuleType("keras_distill")
package.__path__ = [sys.argv[1]]
from keras_distill._files.plain_path import plain_path
print(plain_path(sys.argv[2]), flush=True)
time.sleep(60)
"""


def test_links_of_killed_processes_go(tmp_path, monkeypatch):
    """Of a killed process, which removes nothing, the link stayed for good."""
    place, module = tmp_path / "temporary", tmp_path / "module [1]"
    place.mkdir(), module.mkdir()
    (module / "file").touch()
    command = [sys.executable, "-c", HOLD, kd.__path__[0], str(module)]
    environment = {**os.environ, "TMPDIR": str(place)}
    killed, alive = (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    )
    links = [process.stdout.readline().strip() for process in (killed, alive)]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with temporary_folder():
        assert len(list(place.iterdir())) == 3  # A folder may be too young to have its lock.
    for folder in place.iterdir():
        os.utime(folder, (0, 0))
    os.mkfifo(place / "keras-distill-pipe")
    with temporary_folder() as folder:
        left = {os.path.join(place, name) for name in os.listdir(place)}
        expected = {folder, os.path.dirname(links[1]), str(place / "keras-distill-pipe")}
        assert left == expected
    assert not os.path.exists(folder)
    assert (module / "file").exists()
    alive.kill()
    alive.wait()
    for process in (killed, alive):
        process.stdout.close()


@pytest.mark.long
def test_exports(pattern, tmp_path):
    """The converter, the check and the timing found no variables."""
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.layers.Dense(3)(x))
    assert kd.export_tflite(model, tmp_path / "m.tflite").max_difference < 1e-5
    served = kd.export_saved_model(model, pattern / "served")
    values = tf.ones((2, 4))
    assert kd.HubLayer(str(served), signature="serving_default")(values)["logits"].shape == (2, 3)
