"""Models by path: each error is ours, one line, with the file's name."""

import json
import urllib.error
import zipfile

import keras
import pytest
from keras import layers

from keras_distill._keras.model_files import errors_that_name
from keras_distill._keras.model_files import load_model_file


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.keras"
    inputs = keras.Input((3,))
    keras.Model(inputs, layers.Dense(2)(inputs)).save(path)
    return path


def test_loaded(saved):
    assert load_model_file(saved).output_shape == (None, 2)
    assert not load_model_file(str(saved)).compiled


def refused(path, message, error=ValueError):
    with pytest.raises(error, match=message) as raised:
        load_model_file(path)
    assert type(raised.value) is error
    assert path.name in str(raised.value)
    assert str(raised.value).isprintable()


def test_not_there(tmp_path):
    refused(tmp_path / "none.keras", "which is not there", FileNotFoundError)
    refused(tmp_path, "which is a folder", FileNotFoundError)


def test_something_else(tmp_path):
    (tmp_path / "model.keras").write_text("text")
    refused(tmp_path / "model.keras", "must be a zip archive")
    (tmp_path / "model.onnx").write_text("text")
    refused(tmp_path / "model.onnx", "must be a .keras file, or an .h5 file")
    (tmp_path / "model.h5").write_text("text")
    refused(tmp_path / "model.h5", "has weights that cannot be read.*file signature")


def test_an_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("photo.txt", "x")
    refused(tmp_path / "model.keras", r"cannot be loaded \(KeyError.*config.json")


def test_a_changed_bit_of_the_weights(saved, tmp_path):
    content = bytearray(saved.read_bytes())
    kernel = load_model_file(saved).get_weights()[0].tobytes()
    content[content.index(kernel)] ^= 1
    (tmp_path / "model.keras").write_bytes(content)
    refused(tmp_path / "model.keras", "Bad CRC-32 for file 'model.weights.h5'")
    with pytest.raises(ValueError, match=r"Bad CRC-32 for file 'model.weights.h5'"):
        load_model_file(tmp_path / "model.keras", is_own=True)


def test_deep_json(saved, tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "[" * 100_000 + "]" * 100_000)
    refused(tmp_path / "model.keras", r"cannot be loaded \(RecursionError")


def test_code_and_classes_of_its_author(tmp_path):
    inputs = keras.Input((3,))
    keras.Model(inputs, layers.Lambda(lambda x: x + 1)(inputs)).save(tmp_path / "lambda.keras")
    refused(tmp_path / "lambda.keras", "cannot be loaded.*Lambda.*load it in Python")

    class Unknown(layers.Layer):
        def call(self, x):
            return x

    keras.Model(inputs, Unknown()(inputs)).save(tmp_path / "custom.keras")
    refused(tmp_path / "custom.keras", r"cannot be loaded \(TypeError.*Unknown.*load it in Python")


def test_no_model(tmp_path, saved):
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = keras.saving.serialize_keras_object(layers.Dense(2))
    members["config.json"] = json.dumps(members["config.json"])
    with zipfile.ZipFile(tmp_path / "layer.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused(tmp_path / "layer.keras", "must hold a keras.Model|cannot be loaded")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (urllib.error.URLError("no name"), "cannot be downloaded: the network cannot be reached"),
        (ConnectionError("no host"), r"cannot be reached \(ConnectionError\)\. Connect to it"),
        (urllib.error.HTTPError("x", 404, "none", {}, None), r"cannot be loaded \(HTTPError"),
    ],
)
def test_no_network(error, message):
    """The message was that of four packages, with each other's addresses."""
    with (
        pytest.raises(ValueError, match=f"^a_preset .*{message}"),
        errors_that_name("a_preset", ""),
    ):
        raise error
