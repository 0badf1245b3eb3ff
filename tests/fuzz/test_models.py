"""Damaged files of Keras models."""

import warnings

import keras
import mutations
import pytest
from keras import layers

import keras_distill as kd
from keras_distill._keras.model_files import load_model_file

pytestmark = pytest.mark.long


def read_keras(path):
    return load_model_file(path).get_weights()


def read_own_keras(path):
    return load_model_file(path, is_own=True).get_weights()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    inputs = keras.Input((4,), name="x")
    x = layers.BatchNormalization()(layers.Dense(3, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="logits")(x))
    model.compile("adam", "mse")
    model.save(folder / "model.keras")
    with warnings.catch_warnings(action="ignore"):
        model.save(folder / "model.h5")
    words = kd.text.WordVocabulary.learn(
        ["good film", "bad film"], vocabulary_size=10, sequence_length=4
    )
    texts = keras.Input((), dtype="string", name="text")
    student = kd.students.text_cnn(words, 2, embedding_dim=4, filters=4)
    keras.Model(texts, student(words(texts))).save(folder / "reader.keras")
    return folder


@pytest.mark.rounds(80)
def test_keras(folder, fuzz):
    assert fuzz(read_keras, folder / "model.keras")["read"] > 0


@pytest.mark.rounds(40)
def test_keras_with_a_vocabulary(folder, fuzz):
    assert fuzz(read_keras, folder / "reader.keras")["read"] > 0


@pytest.mark.rounds(400)
def test_the_checksums_of_keras(folder, fuzz):
    path = folder / "model.keras"
    assert fuzz(read_own_keras, path, mutate=mutations.of_bytes, is_checked=True)["read"] > 0


@pytest.mark.rounds(60)
def test_h5(folder, fuzz):
    assert fuzz(read_keras, folder / "model.h5")["read"] > 0
