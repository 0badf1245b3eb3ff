import keras
import numpy as np
import pytest
import students_to_export
from keras import layers

import keras_distill as kd
from keras_distill.export import ImageMetadata
from keras_distill.export import describe


def test_what_an_app_must_know(tmp_path):
    path = tmp_path / "s.tflite"
    report = kd.export_tflite(students_to_export.two_in_two_out(), path)
    description = describe(path)
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
        representative_data=np.random.default_rng(0).normal(size=(20, 4, 4, 1)),
        metadata=ImageMetadata(["a", "b"]),
    )
    description = describe(path)
    (image,) = description.inputs
    assert image.dtype == "int8"
    assert image.scale > 0
    assert isinstance(image.zero_point, int)
    assert description.files == {"labels.txt": "a\nb"}
    assert "labels.txt: 2 lines" in str(description)


def test_another_file(tmp_path):
    path = tmp_path / "s.tflite"
    path.write_bytes(b"no model at all")
    with pytest.raises(ValueError, match=r"must be a TFLite file.*s\.tflite"):
        describe(path)
    with pytest.raises(FileNotFoundError):
        describe(tmp_path / "none.tflite")
