"""A teacher is taken for what it gives, whether its last layer says so or not."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd
from keras_distill.jobs.teacher_head import soft_loss_for
from keras_distill.losses import BinarySoftTargets
from keras_distill.losses import SoftTargetKL

X = 9 * np.random.default_rng(0).normal(size=(20, 3)).astype("float32")


def teacher(last):
    inputs = keras.Input((3,))
    return keras.Model(inputs, last(layers.Dense(4)(inputs)))


@pytest.mark.parametrize(
    ("last", "kind", "from_logits"),
    [
        (lambda x: x, SoftTargetKL, True),
        (layers.Softmax(), SoftTargetKL, False),
        (layers.Activation("sigmoid"), BinarySoftTargets, False),
        (lambda x: layers.Average()([layers.Softmax()(x)] * 2), SoftTargetKL, False),
        (lambda x: layers.Average()([keras.ops.sigmoid(x)] * 2), BinarySoftTargets, False),
        (lambda x: layers.Average()([layers.Dense(4)(x), x]), SoftTargetKL, True),
        (lambda x: 0.5 * layers.Softmax()(x) + 0.5 * layers.Softmax()(2 * x), SoftTargetKL, False),
        (lambda x: layers.Average()([x, 2 * x]), SoftTargetKL, True),
    ],
)
def test_the_head_decides_the_loss(last, kind, from_logits):
    loss = soft_loss_for(teacher(last), X, 3.0)
    assert type(loss) is kind
    assert (loss.teacher_from_logits, loss.temperature) == (from_logits, 3.0)


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (layers.ReLU(), "must give logits, or end in a softmax or a sigmoid"),
        (lambda x: 0.5 * keras.ops.sigmoid(x) + 0.1, "tells whether it gives logits or prob"),
    ],
)
def test_what_a_distiller_would_refuse(last, message):
    model = teacher(last)
    with pytest.raises(ValueError, match=message):
        soft_loss_for(model, X, 3.0)
    student = keras.Sequential([keras.Input((3,)), layers.Dense(4)])
    distiller = kd.Distiller(student=student, teacher=model)
    distiller.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    if message.startswith("must"):
        with pytest.raises(ValueError, match="neither logits nor probabilities"):
            distiller.fit(X, np.zeros(20, int), verbose=0)


def test_a_sigmoid_teaches_each_class():
    """Taken for logits, 0 to 1, its answers were almost the same for all classes."""
    model = teacher(layers.Activation("sigmoid"))
    student = keras.Sequential([keras.Input((3,)), layers.Dense(4)])
    student.set_weights(model.get_weights())
    loss = soft_loss_for(model, X, 2.0)
    assert float(loss(model(X), student(X))) == pytest.approx(0, abs=1e-5)
