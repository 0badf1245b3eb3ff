import pathlib
import zipfile

import keras
import numpy as np
import pytest
import students_to_export
from keras import layers

import keras_distill as kd
from keras_distill.export import ImageMetadata


def test_what_an_app_must_know(tmp_path):
    path = tmp_path / "s.tflite"
    report = kd.export_tflite(students_to_export.two_in_two_out(), path)
    description = kd.describe(path)
    assert description.num_bytes == report.num_bytes
    assert [(t.name, t.shape, t.dtype) for t in description.inputs] == [
        ("extra", (1, 5), "float32"),
        ("ids", (1, 8), "int32"),
    ]
    assert [(t.name, t.shape) for t in description.outputs] == [
        ("score", (1, 1)),
        ("topic", (1, 3)),
    ]
    assert description.operations["FULLY_CONNECTED"] == 3
    assert description.files == {}
    page = str(description)
    assert "ids: int32 [1, 8]" in page
    assert "GATHER x 1" in page


def test_integers_and_packed_files(tmp_path):
    x = keras.Input((4, 4, 1))
    model = keras.Model(x, layers.Dense(2)(layers.Flatten()(x)))
    path = tmp_path / "s.tflite"
    kd.export_tflite(
        model,
        path,
        quantization="int8",
        integer_io=True,
        representative_data=np.random.default_rng(0).uniform(0, 255, (60, 4, 4, 1)),
        metadata=ImageMetadata(["a", "b"]),
    )
    description = kd.describe(path)
    (image,) = description.inputs
    assert image.dtype == "int8"
    assert image.scale > 0
    assert isinstance(image.zero_point, int)
    assert description.files == {"labels.txt": "a\nb"}
    assert "labels.txt: 2 lines" in str(description)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "s.tflite"
    x = keras.Input((4,))
    kd.export_tflite(keras.Model(x, layers.Dense(2)(x)), path)
    return path.read_bytes()


def with_parts(content, folder, **parts):
    """A file with a zip archive behind it."""
    path = folder / "parts.tflite"
    path.write_bytes(content)
    with zipfile.ZipFile(path, "a") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return path


def test_packed_files_that_are_no_texts(content, tmp_path):
    """A tokenizer of SentencePiece is packed as it is."""
    description = kd.describe(with_parts(content, tmp_path, spiece=b"\xff\xfe\x00", labels="a\nb"))
    assert description.files == {"spiece": None, "labels": "a\nb"}
    assert "spiece: no text" in str(description)


def test_broken_packed_files_are_an_error_that_names_the_file(content, tmp_path):
    path = with_parts(content, tmp_path, labels="a" * 100)
    damaged = bytearray(path.read_bytes())
    place = damaged.index(b"a" * 100)
    damaged[place] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"parts\.tflite.*packed file 'labels'.*CRC"):
        kd.describe(path)
    (tmp_path / "cut.tflite").write_bytes(damaged[:place] + damaged[place + 1 :])
    with pytest.raises(ValueError, match=r"cut\.tflite"):
        kd.describe(tmp_path / "cut.tflite")


def test_what_a_terminal_would_obey_is_escaped(content, tmp_path):
    path = with_parts(content, tmp_path, **{"\x1b[2Jlabels": "a"})
    page = str(kd.describe(path))
    assert "\\x1b[2Jlabels: 1 lines" in page
    assert "\x1b" not in page


def test_a_file_that_crashes_is_an_error(tmp_path):
    """Of its bytes one was changed: without a process of its own it ends the session."""
    path = pathlib.Path(__file__).with_name("crashes_litert.tflite")
    data = np.zeros((4, 12, 12, 1), "float32"), np.array([0, 1, 2, 0])
    with pytest.raises(RuntimeError, match=r"crashed on .*crashes_litert\.tflite \(SIG"):
        kd.compare({"stranger": path}, data)
    with pytest.raises(RuntimeError, match=r"crashes_litert\.tflite ends the process .*\(SIG"):
        kd.benchmark(path)


def test_another_file(tmp_path):
    path = tmp_path / "s.tflite"
    path.write_bytes(b"no model at all")
    with pytest.raises(ValueError, match=r"must be a TFLite file.*s\.tflite"):
        kd.describe(path)
    with pytest.raises(FileNotFoundError):
        kd.describe(tmp_path / "none.tflite")
