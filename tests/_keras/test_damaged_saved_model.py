"""A SavedModel that does not load is told with the file that is damaged."""

import shutil

import pytest
import tensorflow as tf

from keras_distill import HubLayer
from keras_distill._keras.damaged_saved_model import damaged_file

DATA = "variables/variables.data-00000-of-00001"
INDEX = "variables/variables.index"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"


class Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.v = tf.Variable(tf.ones([200]))

    @tf.function(input_signature=[tf.TensorSpec([None], "float32")])
    def __call__(self, x):
        return x * self.v[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "module"
    tf.saved_model.save(Module(), str(folder))
    return folder


def test_a_whole_one(whole):
    assert damaged_file(str(whole)) is None


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("saved_model.pb", lambda content: b"", "saved_model.pb holds no graph, in 0 bytes"),
        ("saved_model.pb", lambda content: content[:900], "saved_model.pb is no .* at 900 bytes"),
        ("saved_model.pb", lambda content: b"<html>404", "saved_model.pb is no SavedModel"),
        ("saved_model.pb", lambda content: POINTER, "saved_model.pb is a pointer of Git LFS"),
        (INDEX, None, f"{INDEX} is missing"),
        (INDEX, lambda content: content[:50], f"{INDEX} is damaged"),
        (DATA, None, r"variables/variables.data-\* is missing"),
        (DATA, lambda content: content[:80], "values in .*data-.* are cut short or changed"),
        (DATA, lambda content: b"\xff" * len(content), "are cut short or changed: .*Checksum"),
        (DATA, lambda content: POINTER, f"{DATA} is a pointer of Git LFS: git lfs pull"),
    ],
    ids=lambda value: None if callable(value) or value is None else str(value)[:24],
)
def test_the_damaged_file_is_named(name, change, message, whole, tmp_path):
    """Some of TensorFlow's errors said "Read less bytes than requested", and no more."""
    folder = tmp_path / "module"
    shutil.copytree(whole, folder)
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if change is not None:
        (folder / name).write_bytes(change(content))
    wanted = rf"The SavedModel in .*module must be whole: take another copy of it. .*{message}"
    with pytest.raises(ValueError, match=wanted):
        HubLayer(str(folder))


def test_a_cached_module_is_downloaded_again(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    shutil.copytree(whole, tmp_path / "module")
    (tmp_path / "module" / INDEX).unlink()
    with pytest.raises(ValueError, match="must be whole: remove it, and it is downloaded again"):
        HubLayer(str(tmp_path / "module"))
