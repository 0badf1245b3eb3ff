"""Softmax and sigmoid outputs: recognised, declared, or refused; never taken for logits."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import losses

RNG = np.random.default_rng(5)
FEATURES = RNG.normal(size=(12, 6)).astype("float32")


def linear(activation=None, classes=4, scale=1.0):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(classes, activation)])
    model.layers[0].kernel.assign(scale * RNG.normal(size=(6, classes)))
    return model


def with_activation(model, activation):
    head = keras.Sequential([keras.Input((6,)), layers.Dense(model.output_shape[-1], activation)])
    head.set_weights(model.get_weights())
    return head


class Subclassed(keras.Model):
    def __init__(self, model):
        super().__init__()
        self.model = model
        self(FEATURES)

    def call(self, inputs):
        return self.model(inputs)


def soft_loss_of_one_step(student, teacher, soft_loss=None, x=FEATURES):
    distiller = Distiller(student=student, teacher=teacher, alpha=0.0, soft_loss=soft_loss)
    distiller.compile(keras.optimizers.SGD(0.1))
    loss = distiller.train_on_batch(x, return_dict=True)["soft_loss"]
    return loss, student.get_weights()


@pytest.mark.long_but_first
@pytest.mark.parametrize("sides", ["teacher", "student", "both"])
@pytest.mark.parametrize(
    ("activation", "loss"),
    [("softmax", losses.SoftTargetKL), ("sigmoid", losses.BinarySoftTargets)],
)
def test_recognised_probabilities_train_like_their_logits(sides, activation, loss):
    student, teacher = linear(), linear()
    initial = student.get_weights()
    expected = soft_loss_of_one_step(student, teacher, loss(temperature=3.0))
    student.set_weights(initial)
    if sides != "student":
        teacher = with_activation(teacher, activation)
    if sides != "teacher":
        student = with_activation(student, activation)
    actual = soft_loss_of_one_step(student, teacher, loss(temperature=3.0))
    assert actual[0] == pytest.approx(expected[0], rel=1e-4)
    for wanted, got in zip(expected[1], actual[1]):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["subclassed", "callable", "carried"])
def test_probabilities_of_unknown_origin(kind):
    """An error until they are declared, then right."""
    student, logits_teacher = linear(), linear()
    initial = student.get_weights()
    expected, _ = soft_loss_of_one_step(student, logits_teacher)
    student.set_weights(initial)
    model = with_activation(logits_teacher, "softmax")
    x, teacher = FEATURES, None
    if kind == "subclassed":
        teacher = Subclassed(model)
    elif kind == "callable":

        def teacher(inputs):
            return model(inputs)
    else:
        x = DistillationInputs(FEATURES, teacher_outputs=model(FEATURES).numpy())
    with pytest.raises(ValueError, match=r"looks like probabilities.*teacher_from_logits=False"):
        soft_loss_of_one_step(student, teacher, x=x)
    declared = losses.SoftTargetKL(teacher_from_logits=False)
    actual, _ = soft_loss_of_one_step(student, teacher, declared, x=x)
    assert actual == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["subclassed", "callable", "carried"])
def test_logits_of_unknown_origin_need_no_word(kind):
    student, model = linear(), linear()
    initial = student.get_weights()
    expected, _ = soft_loss_of_one_step(student, model)
    student.set_weights(initial)
    x, teacher = FEATURES, None
    if kind == "subclassed":
        teacher = Subclassed(model)
    elif kind == "callable":

        def teacher(inputs):
            return model(inputs)
    else:
        x = DistillationInputs(FEATURES, teacher_outputs=model(FEATURES).numpy())
    actual, _ = soft_loss_of_one_step(student, teacher, x=x)
    assert actual == pytest.approx(expected, rel=1e-6)


def test_subclassed_student_with_softmax():
    student = Subclassed(linear("softmax"))
    with pytest.raises(ValueError, match=r"student's 'output' looks like.*student_from_logits"):
        soft_loss_of_one_step(student, linear())
    declared = losses.SoftTargetKL(student_from_logits=False)
    assert soft_loss_of_one_step(student, linear(), declared)[0] > 0


@pytest.mark.parametrize(
    ("activation", "soft_loss", "remedy"),
    [
        ("softmax", losses.BinarySoftTargets(), "SoftTargetKL can undo it"),
        ("sigmoid", losses.SoftTargetKL(), "BinarySoftTargets can undo it"),
        ("softmax", losses.LogitsMSE(), "SoftTargetKL can undo it"),
    ],
)
@pytest.mark.parametrize("side", ["teacher", "student"])
def test_a_loss_that_cannot_undo_the_activation(activation, soft_loss, remedy, side):
    models = {"student": linear(), "teacher": linear(), side: linear(activation)}
    with pytest.raises(ValueError, match=rf"cannot take the {side}'s 'output'.*{remedy}"):
        soft_loss_of_one_step(**models, soft_loss=soft_loss)


def test_a_wrong_declaration():
    with pytest.raises(ValueError, match=r"declared to be probabilities.*and it is not"):
        soft_loss_of_one_step(linear(), linear(), losses.SoftTargetKL(teacher_from_logits=False))


def test_an_output_each():
    """The domain belongs to each output on its own."""
    inputs = keras.Input((6,))

    def two_heads(activation):
        first = layers.Dense(3, activation, name="first")
        return keras.Model(inputs, {"b": layers.Dense(4)(inputs), "a": first(inputs)})

    student, teacher = two_heads(None), two_heads("softmax")
    expected = 0.0
    taught = teacher(FEATURES)
    for name, logits in {"a": np.log(taught["a"]), "b": taught["b"]}.items():
        expected += float(losses.SoftTargetKL()(logits, student(FEATURES)[name]))
    actual, _ = soft_loss_of_one_step(student, teacher)
    assert actual == pytest.approx(expected, rel=1e-4)


def test_single_logit():
    student, teacher = linear(classes=1), linear("sigmoid", classes=1)
    p = teacher(FEATURES).numpy().astype("float64")
    q = 1 / (1 + np.exp(-student(FEATURES).numpy().astype("float64")))
    expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    actual, _ = soft_loss_of_one_step(student, teacher, losses.BinarySoftTargets(temperature=1.0))
    assert actual == pytest.approx(expected, rel=1e-4)


def test_float16_probabilities_are_recognised_by_value():
    model = linear("softmax")

    def teacher(x):
        return tf.cast(model(x), "float16")

    with pytest.raises(ValueError, match=r"looks like probabilities"):
        soft_loss_of_one_step(linear(), teacher)
