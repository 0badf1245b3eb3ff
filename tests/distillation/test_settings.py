"""What is set on a Distiller counts from the next step on; a compiled step would keep the old."""

import keras
import numpy as np
import pytest

from keras_distill import Distiller
from keras_distill import Objective
from keras_distill.losses import FeatureMSE
from keras_distill.losses import SoftTargetKL
from keras_distill.teachers import Ensemble
from keras_distill.teaching import DataFree
from keras_distill.teaching import MutualLearning

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
Y = np.zeros((4, 2), "float32")


def dense(name):
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs), name=name)


def compiled(**kwargs):
    distiller = Distiller(student=dense("student"), teacher=dense("teacher"), **kwargs)
    distiller.compile(keras.optimizers.SGD(0.0), "mse")
    return distiller


def losses(distiller, **kwargs):
    return distiller.fit(X, Y, verbose=0, **kwargs).history


@pytest.mark.long
def test_settings_of_later_steps():
    distiller = compiled(alpha=0.25)
    first = losses(distiller)
    distiller.alpha = 0.75
    second = losses(distiller)
    expected = 0.75 * second["hard_loss"][0] + 0.25 * second["soft_loss"][0]
    np.testing.assert_allclose(second["loss"], expected, rtol=1e-5)
    distiller.temperature = 1.0
    assert abs(losses(distiller)["soft_loss"][0] - first["soft_loss"][0]) > 1e-4
    # Within fit, as a callback does.
    change = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(distiller, "alpha", float(epoch))
    )
    history = losses(distiller, epochs=2, callbacks=[change])
    np.testing.assert_allclose(history["loss"][0], history["soft_loss"][0], rtol=1e-5)
    np.testing.assert_allclose(history["loss"][1], history["hard_loss"][1], rtol=1e-5)


def test_settings_out_of_range():
    for distiller in (compiled(), compiled(soft_loss=SoftTargetKL(2.0))):
        with pytest.raises(ValueError, match="alpha must be"):
            distiller.alpha = 3.0
        with pytest.raises(ValueError, match="temperature"):
            distiller.temperature = -1.0
        for name in ("student", "soft_loss", "objectives", "teacher_metrics"):
            with pytest.raises(ValueError, match=f"{name} of Distiller cannot be set later"):
                setattr(distiller, name, None)


def test_settings_of_a_loss_that_is_in_use():
    """A compiled step went on with the temperature of before, without a word."""
    loss = SoftTargetKL(2.0)
    loss.temperature = 3.0
    distiller = compiled(soft_loss=loss)
    with pytest.raises(ValueError, match="temperature of SoftTargetKL cannot be set later"):
        distiller.soft_loss.temperature = 8.0
    assert loss.temperature == 3.0
    assert loss.with_settings(temperature=5.0).temperature == 5.0
    # A copy is another loss.
    other = SoftTargetKL.from_config(loss.get_config())
    other.temperature = 1.0
    of_objective = SoftTargetKL(2.0)
    Objective(of_objective, teacher_layer="output", student_layer="output")
    with pytest.raises(ValueError, match="standardized of SoftTargetKL cannot be set later"):
        of_objective.standardized = True


def test_what_is_no_setting_of_a_loss():
    class Counting(SoftTargetKL):
        num_calls = 0

        def call(self, y_true, y_pred):
            self.num_calls += 1
            return super().call(y_true, y_pred)

    loss = Counting(2.0)
    compiled(soft_loss=loss)
    loss(X, X)
    assert loss.num_calls == 1


def test_settings_of_teachers_and_of_models_that_learn_together():
    ensemble = Ensemble([dense("one"), dense("other")])
    for name in ("temperatures", "confidence", "mixing_weights", "teachers", "preprocessors"):
        with pytest.raises(ValueError, match=f"{name} of Ensemble cannot be set later"):
            setattr(ensemble, name, [1.0, 1.0])
    with pytest.raises(TypeError):
        ensemble.temperatures[0] = 2.0
    peers = MutualLearning([dense("one"), dense("other")])
    for name in ("soft_loss", "lessons", "models", "trunk"):
        with pytest.raises(ValueError, match=f"{name} of MutualLearning cannot be set later"):
            setattr(peers, name, None)
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    data_free = DataFree(
        Distiller(student=dense("student"), teacher=dense("teacher"), alpha=0.0), generator
    )
    for name in ("distiller", "generator", "features", "seed"):
        with pytest.raises(ValueError, match=f"{name} of DataFree cannot be set later"):
            setattr(data_free, name, None)


def test_an_objective_stays_what_it_is():
    objective = Objective(FeatureMSE(), teacher_layer="output", student_layer="output", weight=0.5)
    with pytest.raises(AttributeError, match="weight"):
        objective.weight = 1.0
    for name in ("loss", "teacher_layer", "student_layer", "projector"):
        with pytest.raises(ValueError, match=f"{name} of Objective cannot be set later"):
            setattr(objective, name, "auto")
    assert objective.weight == 0.5
    assert Objective.from_config(objective.get_config()).weight == 0.5
