"""Files that the package wrote before its classes moved to other modules are still read."""

import json
import pathlib
import shutil

import earlier
import keras
import numpy as np
import pytest
import tensorflow as tf
from store_examples import make_bert

import keras_distill as kd
from keras_distill.layers import ClassNames
from keras_distill.teachers.identity import identify_teacher

HERE = pathlib.Path(__file__).parent


@pytest.fixture
def store_path(tmp_path):
    """A copy of the store, which a build would otherwise write into."""
    return shutil.copytree(HERE / "store", tmp_path / "store")


@pytest.fixture
def moved(monkeypatch):
    """A class stands in another module than when the files were written."""
    monkeypatch.setattr(ClassNames, "__module__", "keras_distill.elsewhere")


@pytest.mark.usefixtures("moved")
class TestTeacherStore:
    def test_a_store_opens_with_its_teacher(self, store_path):
        teacher = earlier.text_model()
        store = kd.TeacherStore.open(store_path, teacher)
        dataset = tf.data.Dataset.from_tensor_slices(earlier.IDS).batch(8)
        inputs = next(iter(store.attach(dataset, on_missing="teacher", teacher=teacher)))
        expected = teacher(earlier.IDS)
        np.testing.assert_allclose(inputs.teacher_outputs, expected, rtol=1e-5, atol=1e-6)

    def test_a_store_that_lacks_a_shard_is_built_on(self, store_path):
        shutil.rmtree(store_path / "shard_00000")
        manifest = store_path / "manifest.json"
        before = manifest.read_text()
        dataset = tf.data.Dataset.from_tensor_slices(earlier.IDS)
        build = kd.TeacherStore.build
        store = build(
            dataset, earlier.text_model(), store_path, dtype="float32", shards=1, verbose=0
        )
        assert len(store) == 8
        assert json.loads(manifest.read_text())["example"] == json.loads(before)["example"]

    def test_a_finished_store_is_not_built_again(self, store_path):
        written = {file: file.stat().st_mtime_ns for file in store_path.rglob("*.npy")}
        dataset = tf.data.Dataset.from_tensor_slices(earlier.IDS)
        kd.TeacherStore.build(
            dataset, earlier.text_model(), store_path, dtype="float32", shards=1, verbose=0
        )
        assert {file: file.stat().st_mtime_ns for file in store_path.rglob("*.npy")} == written

    def test_a_teacher_with_another_configuration_is_refused(self, store_path):
        network = earlier.text_model()
        # The weights are equal, so it is the configuration that tells them apart.
        logits = ClassNames(["yes", "maybe", "no"])(network.layers[-2].output)
        other = keras.Model(network.input, logits)
        with pytest.raises(ValueError, match="another teacher's config"):
            kd.TeacherStore.open(store_path, other)


def test_a_class_may_move(monkeypatch):
    teacher = earlier.text_model()
    before = identify_teacher(teacher, None)
    monkeypatch.setattr(ClassNames, "__module__", "keras_distill.elsewhere")
    assert identify_teacher(teacher, None) == before
    stored = json.loads((HERE / "store" / "manifest.json").read_text())["teacher"]
    assert before != stored
    assert identify_teacher(teacher, None, stored) == stored


def test_a_text_classifier_is_the_functional_model_that_it_was():
    teacher = make_bert()
    earlier_teacher = keras.Model(teacher.input, teacher.output)
    assert type(earlier_teacher) is not type(teacher)
    assert identify_teacher(teacher, None) == identify_teacher(earlier_teacher, None)


def test_a_stage_is_told_by_names_alone(monkeypatch):
    def describe():
        stage = kd.teaching.Stage("one", epochs=1, soft_loss=kd.losses.SoftTargetKL())
        return stage.describe(earlier.text_model())

    before = describe()
    monkeypatch.setattr(kd.losses.SoftTargetKL, "__module__", "keras_distill.elsewhere")
    assert describe() == before


def test_keras_may_give_its_layers_new_arguments(monkeypatch):
    """Keras 3.15 gave its initializers `input_axes` and `output_axes`."""
    teacher = earlier.text_model()
    before = identify_teacher(teacher, None)
    get_config = keras.layers.Embedding.get_config

    def get_config_of_a_later_keras(layer):
        return {**get_config(layer), "new": None, "newer": False}

    monkeypatch.setattr(keras.layers.Embedding, "get_config", get_config_of_a_later_keras)
    assert identify_teacher(teacher, None) == before


@pytest.mark.parametrize("setting", [True, 0, ""])
def test_a_new_argument_that_is_set_is_another_teacher(setting, monkeypatch):
    teacher = earlier.text_model()
    before = identify_teacher(teacher, None)
    get_config = keras.layers.Embedding.get_config
    monkeypatch.setattr(
        keras.layers.Embedding, "get_config", lambda layer: {**get_config(layer), "new": setting}
    )
    assert identify_teacher(teacher, None)["config"] != before["config"]


@pytest.mark.usefixtures("moved")
def test_a_model_loads():
    model = keras.models.load_model(HERE / "model.keras")
    np.testing.assert_allclose(
        model(earlier.IDS), earlier.text_model()(earlier.IDS), rtol=1e-5, atol=1e-6
    )
