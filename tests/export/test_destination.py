"""Nothing is overwritten, half written or left behind."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import students_to_export
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import keras_distill as kd

EXPORT_FOREVER = """
import pathlib, sys
import keras
import keras_distill as kd
folder = pathlib.Path(sys.argv[1])
x = keras.Input((4,), name="x")
model = keras.Model(x, keras.layers.Dense(3)(x))
while True:
    kd.export_tflite(model, folder / "student.tflite")
    kd.export_saved_model(model, folder / "served")
    (folder / "rounds").open("a").write(".")
"""


def exports(folder):
    """Both, into the same folder."""
    model = students_to_export.cnn()
    yield lambda: kd.export_tflite(model, folder / "student.tflite")
    yield lambda: kd.export_saved_model(model, folder / "served")


@pytest.mark.long
def test_killed_at_any_moment(tmp_path):
    """What was there stays; what is there is whole."""
    process = subprocess.Popen([sys.executable, "-c", EXPORT_FOREVER, tmp_path])
    rounds = tmp_path / "rounds"
    deadline = time.time() + 120
    while not rounds.exists() and time.time() < deadline:
        time.sleep(0.05)
    time.sleep(random.uniform(0, 1.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    num_rounds = rounds.stat().st_size
    assert num_rounds >= 1
    runner = Interpreter(str(tmp_path / "student.tflite")).get_signature_runner()
    assert runner(x=np.ones((1, 4), "float32"))["output"].shape == (1, 3)
    versions = [path for path in (tmp_path / "served").iterdir() if path.name.isdigit()]
    assert len(versions) >= num_rounds
    for path in versions[-2:]:
        endpoint = tf.saved_model.load(str(path)).signatures["serving_default"]
        assert endpoint(x=tf.ones((2, 4)))["logits"].shape == (2, 3)


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("A small disk can be made by root only.")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_keeps_what_was_there(small_disk):
    before = {"student.tflite": b"the good one", "notes": b"mine"}
    for name, content in before.items():
        (small_disk / name).write_bytes(content)
    (small_disk / "filler").write_bytes(bytes(8 * 1024))
    for export in exports(small_disk):
        with pytest.raises((OSError, tf.errors.OpError), match=r"(?i)no space|space left"):
            export()
    for name, content in before.items():
        assert (small_disk / name).read_bytes() == content
    assert not [path for path in small_disk.rglob("*") if path.name.startswith(".writing")]


class TestBadInput:
    """Refused before the model is converted."""

    @pytest.fixture(autouse=True)
    def nothing_runs(self, monkeypatch):
        def fail(*arguments, **settings):
            raise AssertionError("It was exported all the same.")

        monkeypatch.setattr("keras_distill.export.saved_model.export.write_saved_model", fail)
        monkeypatch.setattr("keras_distill.export.tflite.conversion.write_saved_model", fail)

    def test_a_file_on_the_way(self, tmp_path):
        (tmp_path / "file").touch()
        for export in exports(tmp_path / "file"):
            with pytest.raises(ValueError, match=r"must be in a folder.*file is a file"):
                export()

    def test_a_folder_for_a_file(self, tmp_path):
        (tmp_path / "student.tflite").mkdir()
        with pytest.raises(ValueError, match=r"path must be a file.*which is a folder"):
            next(exports(tmp_path))()

    def test_a_file_for_a_folder(self, tmp_path):
        (tmp_path / "served").touch()
        with pytest.raises(ValueError, match=r"directory must be a folder.*which is a file"):
            list(exports(tmp_path))[1]()

    def test_no_permission(self, tmp_path, monkeypatch):
        # Root may write everywhere.
        monkeypatch.setattr(os, "access", lambda path, mode: pathlib.Path(path) != tmp_path)
        for export in exports(tmp_path):
            with pytest.raises(PermissionError, match="not writable"):
                export()
