"""A teacher with one output for two classes answers as one with two."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_distill.jobs.images.image_teacher import ReadyImageTeacher
from keras_distill.jobs.one_output import with_two_outputs
from keras_distill.jobs.teacher_head import soft_loss_for
from keras_distill.layers.class_names import class_names_of
from keras_distill.layers.class_names import with_class_names

X = 20 * np.random.default_rng(0).normal(size=(20, 3)).astype("float32")


def teacher(*last):
    inputs = keras.Input((3,))
    x = layers.Dense(1)(inputs)
    for layer in last:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("last", [(), (layers.Activation("sigmoid"),)])
def test_its_probabilities(last):
    model = teacher(*last)
    z = model.layers[1](X)
    expected = keras.ops.concatenate([keras.ops.sigmoid(-z), keras.ops.sigmoid(z)], -1)
    made = with_two_outputs(model, "t.keras")
    np.testing.assert_allclose(keras.ops.softmax(made(X)), expected, atol=2e-7)
    assert np.isfinite(made(1000 * X)).all()
    assert soft_loss_for(made, X, 2.0).teacher_from_logits
    assert class_names_of(made) is None


def test_it_keeps_its_names():
    model = with_class_names(teacher(layers.Activation("sigmoid")), ["no", "yes"])
    assert class_names_of(with_two_outputs(model, "t.keras")) == ("no", "yes")


@pytest.mark.parametrize("last", [layers.ReLU(), layers.Rescaling(0.5), layers.Softmax()])
def test_an_output_that_says_neither(last, tmp_path):
    path = str(tmp_path / "t.keras")
    inputs = keras.Input((8, 8, 3))
    outputs = last(layers.Dense(1)(layers.GlobalAveragePooling2D()(inputs)))
    keras.Model(inputs, outputs).save(path)
    with pytest.raises(ValueError, match=r"or in a sigmoid.*t\.keras, which ends in neither"):
        ReadyImageTeacher(path).prepare(2, (8, 8, 3), 0)
