"""Damaged files of exported models, TFLite and SavedModels, and of presets."""

import pathlib
import sys

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_distill as kd
from keras_distill.evaluation.sources import open_source
from keras_distill.jobs.texts.text_teacher import make_teacher

# The process that reads imports this file, too, without pytest.
sys.path.append(str(pathlib.Path(__file__).parents[1] / "models"))
import small_bert

pytestmark = pytest.mark.long
X = np.eye(4, dtype="float32")


def read_description(path):
    described = kd.describe(path)
    return [str(described).removeprefix(str(path)), described.files]


def compare_file(path):
    return open_source("fuzzed", path)(X)


def time_file(path):
    return kd.benchmark(path, num_runs=1, min_seconds=0).num_runs


def compare_folder(path):
    return open_source("fuzzed", path)(X)


def teach_from_preset(path):
    return kd.teachers.text_classifier(str(path), num_classes=2).get_weights()


def teach_in_a_job(path):
    """It answers texts, too: what would fail behind the beginning of a job fails here."""
    texts = kd.text.from_lists(["good film", "bad film"], ["yes", "no"])
    keras.utils.set_random_seed(0)
    teacher = make_teacher(
        str(path), None, None, None, texts, num_epochs=1, sequence_length=8
    ).model
    return teacher.get_weights(), teacher(tf.constant(texts.texts.tolist())).numpy()


def model():
    inputs = keras.Input((4,), name="x")
    x = layers.Dense(3, activation="relu")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="logits")(x))


@pytest.fixture(scope="module")
def tflite_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tflite") / "model.tflite"
    kd.export_tflite(model(), path, representative_data=X)
    return path


@pytest.mark.parametrize(
    "reader",
    [
        pytest.param(read_description, marks=pytest.mark.rounds(30)),
        pytest.param(compare_file, marks=pytest.mark.rounds(30)),
        pytest.param(time_file, marks=pytest.mark.rounds(10)),
    ],
)
def test_tflite(reader, tflite_file, fuzz):
    assert fuzz(reader, tflite_file)["read"] > 0


@pytest.fixture
def served(tmp_path):
    kd.export_saved_model(model(), tmp_path / "served", class_names=["no", "yes"])
    return tmp_path / "served"


@pytest.mark.rounds(40)
def test_the_checksums_of_saved_models(served, fuzz):
    fuzz(compare_folder, served, files="variables.data-00000-of-00001", is_checked=True)


@pytest.mark.rounds(60)
def test_saved_model(served, fuzz):
    assert fuzz(compare_folder, served, files="*.*")["read"] > 0


@pytest.mark.rounds(40)
def test_hugging_face_folder(tmp_path, fuzz):
    folder = tmp_path / "preset"
    folder.mkdir()
    small_bert.write_hugging_face_folder(folder, small_bert.make_backbone(num_layers=1))
    assert fuzz(teach_from_preset, folder)["read"] > 0


@pytest.mark.rounds(25)
@pytest.mark.parametrize("is_ready", [False, True])
def test_keras_hub_folder(is_ready, tmp_path, fuzz):
    """Of a backbone with its preprocessor, and of a whole classifier."""
    backbone, preprocessor = small_bert.make_backbone(num_layers=1), small_bert.make_preprocessor()
    saved = [backbone, preprocessor]
    if is_ready:
        saved = [keras_hub.models.BertTextClassifier(backbone, 2, preprocessor=preprocessor)]
    for part in saved:
        part.save_to_preset(tmp_path / "preset")
    assert fuzz(teach_in_a_job, tmp_path / "preset")["read"] > 0
