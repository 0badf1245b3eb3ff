"""TensorFlow takes a path for a pattern; temporary folders may be in such a place, too."""

import os
import tempfile

import keras
import pytest
import tensorflow as tf

import keras_distill as kd
from keras_distill.plain_path import plain_path
from keras_distill.plain_path import temporary_folder


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
    with pytest.raises(ValueError, match=r"TMPDIR must name a folder.*tmp \[1\].*Set TMPDIR"):
        temporary_folder()


def test_exports(pattern, tmp_path):
    """The converter, the check and the timing found no variables."""
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.layers.Dense(3)(x))
    assert kd.export_tflite(model, tmp_path / "m.tflite").max_difference < 1e-5
    served = kd.export_saved_model(model, pattern / "served")
    values = tf.ones((2, 4))
    assert kd.HubLayer(str(served), signature="serving_default")(values)["logits"].shape == (2, 3)
