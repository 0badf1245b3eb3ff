"""A loss of compile() that takes logits for probabilities: Keras clips them, without a word."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd
from keras_distill.distillation.loss_domains import check_takes_logits
from keras_distill.teaching import MutualLearning

X = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
Y = np.array([0, 1, 2, 0])


def dense(activation=None, units=3, **kwargs):
    return keras.Sequential([keras.Input((5,)), layers.Dense(units, activation)], **kwargs)


@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        keras.losses.SparseCategoricalCrossentropy(ignore_class=-1),
        keras.losses.categorical_focal_crossentropy,
        "bce",
    ],
)
def test_of_logits(loss):
    with pytest.raises(ValueError, match="take the student's logits for probabilities"):
        check_takes_logits(loss, dense())
    for activation in ("softmax", "sigmoid"):
        check_takes_logits(loss, dense(activation))


@pytest.mark.parametrize(
    "loss",
    [
        None,
        "mse",
        "no_such_loss",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        keras.losses.Hinge(),
        lambda y_true, y_pred: y_pred,
    ],
)
def test_of_others(loss):
    check_takes_logits(loss, dense())


def test_of_several_outputs():
    inputs = keras.Input((5,))
    heads = {"a": layers.Dense(3)(inputs), "b": layers.Dense(3, "softmax")(inputs)}
    by_name = "sparse_categorical_crossentropy"
    for outputs in (heads, list(heads.values())):
        model = keras.Model(inputs, outputs)
        names = list(heads) if isinstance(outputs, dict) else model.output_names
        check_takes_logits({names[1]: by_name}, model)
        with pytest.raises(ValueError, match="for probabilities"):
            check_takes_logits({names[0]: by_name}, model)
    check_takes_logits(["mse", by_name], model)
    with pytest.raises(ValueError, match="for probabilities"):
        check_takes_logits([by_name, "mse"], model)


def test_before_the_training():
    distiller = kd.Distiller(student=dense(), teacher=dense())
    distiller.compile("sgd", "sparse_categorical_crossentropy")
    before = distiller.student.get_weights()
    with pytest.raises(ValueError, match="Give the loss from_logits=True"):
        distiller.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(distiller.student.get_weights()[0], before[0])
    # Without labels it is not computed.
    distiller.fit(X, verbose=0)
    peers = MutualLearning([dense(name="one"), dense(name="other")])
    with pytest.raises(ValueError, match="Give the loss from_logits=True"):
        peers.compile("sgd", "sparse_categorical_crossentropy")


def test_the_default_soft_loss_is_not_for_several_labels():
    """It compared the softmax over classes of which an example may have several."""
    binary = keras.losses.BinaryCrossentropy(from_logits=True)
    labels = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 1], [0, 0, 0]], "float32")
    for soft_loss in (None, kd.losses.BinarySoftTargets(2.0), kd.losses.SoftTargetKL(2.0)):
        distiller = kd.Distiller(student=dense(), teacher=dense(), soft_loss=soft_loss)
        distiller.compile("sgd", binary)
        if soft_loss is None:
            with pytest.raises(ValueError, match=r"soft_loss must be given.*BinarySoftTargets"):
                distiller.fit(X, labels, verbose=0)
        else:
            distiller.fit(X, labels, verbose=0)
    alone = kd.Distiller(student=dense(), alpha=1.0)
    alone.compile("sgd", binary)
    alone.fit(X, labels, verbose=0)
