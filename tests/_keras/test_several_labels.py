"""No softmax is put on the logits of a model that gives an example several labels."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_distill as kd
from keras_distill._keras.model_files import load_model_file
from keras_distill._keras.several_labels import has_several_labels

BINARY = keras.losses.BinaryCrossentropy(from_logits=True)
NAMES = ("a", "b", "c")


def classifier(units=3, activation=None):
    inputs = keras.Input((2, 2, 3), name="image")
    outputs = layers.Dense(units, activation)(layers.Flatten()(inputs))
    return keras.Model(inputs, outputs)


def compiled(loss=BINARY, **settings):
    model = classifier(**settings)
    model.compile("sgd", loss)
    return model


class TestWhatIsKnown:
    @pytest.mark.parametrize(
        "loss",
        [
            BINARY,
            [BINARY],
            "binary_crossentropy",
            "bce",
            keras.losses.binary_crossentropy,
            keras.losses.BinaryFocalCrossentropy(from_logits=True),
            kd.losses.BinarySoftTargets(2.0),
        ],
    )
    def test_by_the_loss_of_compile(self, loss):
        assert has_several_labels(compiled(loss))

    def test_by_the_loss_in_a_file(self, tmp_path):
        """The command and `compare` load files without compiling them."""
        compiled().save(tmp_path / "m.keras")
        assert has_several_labels(load_model_file(tmp_path / "m.keras"))
        compiled("binary_crossentropy").save(tmp_path / "m.keras")
        assert has_several_labels(load_model_file(tmp_path / "m.keras"))

    def test_inside_another_model(self):
        images = keras.Input((2, 2, 3))
        assert has_several_labels(keras.Model(images, compiled()(images)))

    @pytest.mark.parametrize(
        ("soft_loss", "hard_loss"),
        [
            (kd.losses.BinarySoftTargets(2.0), keras.losses.MeanSquaredError()),
            (kd.losses.LogitsMSE(), BINARY),
        ],
    )
    def test_by_its_distiller(self, soft_loss, hard_loss):
        """The student itself is never compiled."""
        student = classifier()
        distiller = kd.Distiller(
            student=student, teacher=classifier(), alpha=0.5, soft_loss=soft_loss
        )
        distiller.compile("sgd", hard_loss)
        x = np.zeros((4, 2, 2, 3), "float32")
        distiller.fit(x, np.zeros((4, 3)), verbose=0)
        assert has_several_labels(student)

    def test_one_class_is_none(self):
        assert not has_several_labels(classifier())
        assert not has_several_labels(compiled("sparse_categorical_crossentropy"))
        assert not has_several_labels(compiled(units=1))
        model = compiled()
        assert not has_several_labels(keras.Model(model.input, layers.Softmax()(model.output)))


class TestWhatIsRefused:
    def test_labels_of_a_server(self, tmp_path):
        with pytest.raises(ValueError, match="class_names must be left out, and metadata"):
            kd.export_saved_model(compiled(), tmp_path / "served", class_names=NAMES)
        assert not (tmp_path / "served").exists()

    def test_metadata(self, tmp_path):
        with pytest.raises(ValueError, match="class_names must be left out, and metadata"):
            kd.export_tflite(
                compiled(), tmp_path / "m.tflite", metadata=kd.export.ImageMetadata(NAMES)
            )
        words = kd.text.WordVocabulary.learn(
            ["good film"], vocabulary_size=9, sequence_length=4, for_apps=True
        )
        student = kd.students.text_cnn(words, 3, embedding_dim=4, filters=4)
        student.compile("sgd", BINARY)
        with pytest.raises(ValueError, match="class_names must be left out, and metadata"):
            kd.export.TextMetadata(NAMES, words, "regex").prepare(student)

    def test_an_ensemble(self):
        with pytest.raises(ValueError, match=r"teachers\[1\] must give each example one class"):
            kd.teachers.Ensemble([classifier(), compiled()])

    def test_a_server_without_labels_gives_no_probabilities_of_a_softmax(self, tmp_path):
        path = kd.export_saved_model(compiled(), tmp_path / "served")
        served = tf.saved_model.load(str(path)).signatures["serving_default"]
        assert "probabilities" not in served.structured_outputs
