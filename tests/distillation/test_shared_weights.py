"""A teacher is never changed, so it cannot hold what its student trains."""

import keras
import numpy as np
import pytest

from keras_distill import Distiller

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def pair(frozen):
    """A student on the teacher's own first layer, as one begins with a teacher's layers."""
    inputs = keras.Input((3,))
    shared = keras.layers.Dense(4, name="shared")
    teacher = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.ReLU()(shared(inputs))))
    shared.trainable = not frozen
    return teacher, keras.Model(inputs, keras.layers.Dense(2)(shared(inputs)))


def fit(teacher, student, **kwargs):
    distiller = Distiller(student=student, teacher=teacher, **kwargs)
    distiller.compile("sgd", "mse", run_eagerly=True)
    distiller.fit(X, np.zeros((4, 2)), verbose=0)


def test_a_teacher_that_the_training_would_change():
    teacher, student = pair(frozen=False)
    before = student.get_weights()
    with pytest.raises(ValueError, match=r"teacher must have weights of its own.*'shared/kernel'"):
        fit(teacher, student)
    for one, other in zip(student.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_remedies():
    teacher, student = pair(frozen=True)
    before = teacher.get_weights()
    fit(teacher, student)
    for one, other in zip(teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    teacher, student = pair(frozen=False)
    fit(lambda x: teacher(x), student)
    # It is not asked.
    fit(teacher, student, alpha=1.0)
