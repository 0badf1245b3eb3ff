import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_distill as kd
from keras_distill.evaluation.sources import open_source


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((4,), name="x")
    return keras.Model(inputs, layers.Dense(3, name="logits")(inputs))


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    kd.export_saved_model(model, folder, version=9, class_names=["a", "b", "c"])
    kd.export_saved_model(model, folder, version=10)
    return folder


def test_a_saved_model(served):
    found = kd.describe(served / "9")
    assert found.kind == "a SavedModel"
    assert found.facts["inputs of serving_default"] == ("x: float32 [-1, 4]",)
    assert "top_labels: string [-1, 3]" in found.facts["outputs of serving_default"]
    assert str(found).startswith(f"{served / '9'}, a SavedModel\ninputs of serving_default\n  x: ")


def test_versions_for_a_server(served):
    """The newest by its number; what Python only calls a digit is no version."""
    (served / "\u00b2").mkdir(exist_ok=True)
    found = kd.describe(served)
    assert found.kind == "versions of a SavedModel, for a server"
    assert found.facts["versions"] == ("9", "10")
    assert "label: string [-1]" not in found.facts["outputs of serving_default"]
    assert open_source("m", served).kind == "SavedModel"


def test_a_saved_model_without_signatures(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    assert kd.describe(tmp_path).facts == {"signatures": ("none: it is called by a program",)}


def test_a_store(model, tmp_path):
    x = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
    dataset = tf.data.Dataset.from_tensor_slices(x)
    kd.TeacherStore.build(dataset, model, tmp_path, verbose=0)
    found = kd.describe(tmp_path)
    assert found.kind == "a store of a teacher's answers"
    assert found.facts == {
        "examples": ("10",),
        "answers": ("output: float16 [3], logits",),
        "what the teacher read": ("x: float32 [4]",),
    }


def test_the_folder_of_a_job(tmp_path):
    """What a terminal would obey is escaped, what is long cut."""
    settings = {"teacher": "\x1b[2Jbert", "num_steps": 30, "long": "x" * 500, "data": ["print"]}
    (tmp_path / "job.json").write_text(json.dumps(settings))
    (tmp_path / "alone.keras").write_text("12")
    (tmp_path / "serving").mkdir()
    for number in range(25):
        (tmp_path / f"more{number}").mkdir()
    text = str(kd.describe(tmp_path))
    assert text.startswith(f"{tmp_path}, the folder of a job\n")
    assert "\n  teacher: \\x1b[2Jbert\n  num_steps: 30\n  long: xxx" in text
    assert "\n  alone.keras: 2 bytes\n" in text
    assert "\n  and 8 more\n" in text
    assert "not there yet\n  answers\n  distilled.keras\n  student.tflite\n  report.html" in text
    assert "print" not in text
    assert max(map(len, text.splitlines())) < 140


def test_the_folder_of_a_training(tmp_path):
    (tmp_path / "training.json").write_text(json.dumps({"student": "1f", "stages": ["hint"]}))
    found = kd.describe(tmp_path)
    assert found.kind == "the folder of a training in stages"
    assert found.facts["settings"] == ("stages: ['hint']",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("job.json", "[", "job.json must hold a JSON object"),
        ("manifest.json", "{}", "manifest.json cannot be read as the manifest"),
        ("saved_model.pb", "x", "saved_model.pb cannot be loaded"),
        ("other.txt", "x", "or the folder of a job. Received: .*, which is a folder with none of"),
    ],
)
def test_damaged_or_something_else(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        kd.describe(tmp_path)
