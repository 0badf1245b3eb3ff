"""Two entries of the history with one name: Keras kept the last, which was taken for the other."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd
from keras_distill.teaching import MutualLearning

X = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
Y = np.array([0, 1, 2, 0])


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def dense(name="net"):
    return keras.Sequential([keras.Input((5,)), layers.Dense(3)], name=name)


def heads(*names):
    inputs = keras.Input((5,))
    return keras.Model(inputs, {name: layers.Dense(3, name=name)(inputs) for name in names})


def accuracy(name):
    return keras.metrics.SparseCategoricalAccuracy(name=name)


def refused(model, y, name, metrics=()):
    model.compile("sgd", cross_entropy(), metrics=list(metrics))
    with pytest.raises(ValueError, match=rf"names of their own.*Received: \['{name}'\]"):
        model.fit(X, y, verbose=0)


@pytest.mark.parametrize("name", ["accuracy", "loss", "hard_loss", "soft_loss"])
def test_a_metric_as_another_entry(name):
    """The history said 1.02 of an accuracy: it was an objective's loss."""
    objective = kd.Objective(
        kd.losses.FeatureMSE(), teacher_layer="output", student_layer="output", name="accuracy"
    )
    distiller = kd.Distiller(student=dense(), teacher=dense(), objectives=[objective])
    refused(distiller, Y, name, [accuracy(name)])


def test_of_several_outputs():
    y = {"hard": Y, "easy": Y}
    refused(
        kd.Distiller(student=heads("hard", "easy"), teacher=heads("hard", "easy")), y, "hard_loss"
    )
    objective = kd.Objective(
        kd.losses.FeatureMSE(),
        teacher_layer="output[a]",
        student_layer="output[a]",
        name="a_soft_loss",
    )
    distiller = kd.Distiller(
        student=heads("a", "b"), teacher=heads("a", "b"), objectives=[objective]
    )
    refused(distiller, {"a": Y, "b": Y}, "a_soft_loss")


def test_of_models_that_learn_together():
    peers = MutualLearning([dense("one"), dense("other")])
    with pytest.raises(ValueError, match=r"Received: \['one_soft_loss', 'other_soft_loss'\]"):
        peers.compile("sgd", cross_entropy(), metrics=[accuracy("soft_loss")])
