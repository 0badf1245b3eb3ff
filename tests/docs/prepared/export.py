"""A file to describe, a student to fine-tune, and in place of a server its signature."""

import sys
import types

import keras
import numpy as np
import tensorflow as tf

import keras_distill as kd

TEXTS = ["A good film.", "a bad film"]


def prepare(folder, monkeypatch):
    words = kd.text.WordVocabulary.learn(TEXTS, vocabulary_size=10, sequence_length=4)
    reader = kd.students.text_cnn(words, 2, embedding_dim=4, filters=4)
    kd.export_tflite(reader, "student.tflite", sequence_length=4)
    served = kd.export_saved_model(
        reader, "models/reviews", class_names=["bad", "good"], preprocessor=words
    )
    signature = tf.saved_model.load(str(served)).signatures["serving_default"]

    def post(url, json):
        """What TF Serving makes of the instances of a signature's one input."""
        assert url.endswith("/v1/models/reviews:predict")
        answer = signature(text=tf.constant(np.array(json["instances"])))
        rows = [{"label": label.decode()} for label in answer["label"].numpy()]
        return types.SimpleNamespace(json=lambda: {"predictions": rows})

    monkeypatch.setitem(sys.modules, "requests", types.SimpleNamespace(post=post))
    return {"kd": kd, **_models()}


def _models():
    x = np.random.default_rng(0).normal(size=(200, 8)).astype("float32")
    teacher, student = (
        keras.Sequential([keras.Input((8,)), keras.layers.Dense(n, "relu"), keras.layers.Dense(2)])
        for n in (16, 4)
    )
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=0)
    distiller.compile("adam")
    dataset = tf.data.Dataset.from_tensor_slices((x,)).batch(50)
    return {"distiller": distiller, "dataset": dataset, "x_train": x}


def check(folder, names, printed):
    assert "token_ids: int32 [1, 4]" in printed
    assert printed.splitlines()[-1] in ("bad", "good")
    assert kd.describe("student.tflite").inputs[0].shape == (1, 8)
