"""What would be dropped without a word is an error."""

import keras
import numpy as np
import pytest

from keras_distill import Distiller
from keras_distill.student_hooks import compiled_as
from keras_distill.teaching import DataFree
from keras_distill.teaching import MutualLearning
from keras_distill.teaching import RocketLaunching
from keras_distill.teaching import Stage
from keras_distill.teaching import fit_stages


def dense(base=keras.Model, name=None, width=3):
    inputs = keras.Input((4,))
    return base(inputs, keras.layers.Dense(width)(inputs), name=name)


class OwnTrainStep(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


class OwnTestStep(keras.Model):
    def test_step(self, data):
        return super().test_step(data)


class OwnLoss(keras.Model):
    def compute_loss(self, *args, **kwargs):
        return super().compute_loss(*args, **kwargs)


@pytest.mark.parametrize(
    ("base", "step"), [(OwnTrainStep, "train_step"), (OwnTestStep, "test_step")]
)
def test_own_steps_are_refused(base, step):
    student = dense(base)
    for make in (
        lambda: Distiller(student, dense()),
        lambda: fit_stages(student, dense(), [Stage("all", epochs=1)], np.zeros((2, 4))),
        lambda: MutualLearning([dense(name="a"), student]),
        lambda: DataFree(Distiller(dense(), dense(), alpha=0.0), generator=dense(base, width=4)),
    ):
        with pytest.raises(ValueError, match=f"must learn by Keras's own steps.* own {step}"):
            make()
    # The remedy.
    Distiller(keras.Model(student.inputs, student.outputs), dense())


def test_a_step_set_on_the_object_is_refused():
    student = dense()
    student.train_step = lambda data: {}
    with pytest.raises(ValueError, match="own train_step"):
        Distiller(student)


def test_models_that_learn_together_have_the_loss_of_compile():
    for make in (
        lambda: MutualLearning([dense(name="a"), dense(OwnLoss, name="b")]),
        lambda: RocketLaunching(dense(name="a"), dense(OwnLoss, name="b")),
    ):
        with pytest.raises(ValueError, match=r"no loss or metrics of its own.*own compute_loss"):
            make()


def test_a_model_is_compiled_as_another_for_a_while():
    model, other = dense(), dense()
    other.compile("adam", "mse")
    before = {name: value for name, value in vars(model).items() if name != "_tracker"}
    with compiled_as(model, other), compiled_as(model, other):
        assert model.compiled
        assert model.optimizer is other.optimizer
    assert {name: value for name, value in vars(model).items() if name != "_tracker"} == before
