"""What would be dropped without a word is an error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill._keras.compiled import compiled_as
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
        lambda: Distiller(student=student, teacher=dense()),
        lambda: fit_stages(
            [Stage("all", epochs=1)], np.zeros((2, 4)), student=student, teacher=dense()
        ),
        lambda: MutualLearning([dense(name="a"), student]),
        lambda: DataFree(
            Distiller(student=dense(), teacher=dense(), alpha=0.0), generator=dense(base, width=4)
        ),
    ):
        with pytest.raises(ValueError, match=f"must learn by Keras's own steps.* own {step}"):
            make()
    # The remedy.
    Distiller(student=keras.Model(student.inputs, student.outputs), teacher=dense())


def test_a_step_set_on_the_object_is_refused():
    student = dense()
    student.train_step = lambda data: {}
    with pytest.raises(ValueError, match="own train_step"):
        Distiller(student=student)


def test_models_that_learn_together_have_the_loss_of_compile():
    for make in (
        lambda: MutualLearning([dense(name="a"), dense(OwnLoss, name="b")]),
        lambda: RocketLaunching(light=dense(name="a"), booster=dense(OwnLoss, name="b")),
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


class OwnFit(keras.Model):
    def fit(self, x, y, **kwargs):
        return super().fit(x / 10.0, y, **kwargs)


class OwnEvaluate(keras.Model):
    def evaluate(self, *args, **kwargs):
        return {"score": 1.0}


class OwnWeights(keras.Model):
    @property
    def trainable_weights(self):
        return super().trainable_weights[:1]


class OwnCompile(keras.Model):
    factor = 1.0

    def compile(self, *args, factor=2.0, **kwargs):
        self.factor = factor
        super().compile(*args, **kwargs)

    def compute_loss(self, *args, **kwargs):
        return self.factor * super().compute_loss(*args, **kwargs)


class OwnPredictions(keras.Model):
    def predict(self, x, **kwargs):
        return {"doubled": 2 * super().predict(x, **kwargs)}

    def predict_on_batch(self, x):
        return {"doubled": 2 * super().predict_on_batch(x)}


class OwnPredictStep(keras.Model):
    def predict_step(self, data):
        return -super().predict_step(data)


class OwnResults(keras.Model):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = keras.metrics.Sum(name="seen")

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.seen.update_state(keras.ops.ones_like(y_pred[:, 0]))
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_metrics_result(self):
        results = super().get_metrics_result()
        return {**results, "half": results["seen"] / 2}


class OnlyResults(keras.Model):
    def get_metrics_result(self):
        results = super().get_metrics_result()
        return {**results, "twice": 2 * results["loss"]}


class OwnLosses(keras.Model):
    @property
    def losses(self):
        return [keras.ops.convert_to_tensor(7.0)]


X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.zeros((8, 3), "float32")


@pytest.mark.parametrize(
    ("base", "text"),
    [
        (OwnFit, "must be trained by Keras's own fit.* own fit"),
        (OwnEvaluate, "must be trained by Keras's own fit.* own evaluate"),
        (OwnWeights, "by layer.trainable which layers learn.* own trainable_weights"),
    ],
)
def test_what_would_not_be_asked_is_refused(base, text):
    student = dense(base)
    for make in (
        lambda: Distiller(student=student, teacher=dense()),
        lambda: MutualLearning([dense(name="a"), student]),
        lambda: DataFree(
            Distiller(student=dense(), teacher=dense(), alpha=0.0), generator=dense(base, width=4)
        ),
    ):
        with pytest.raises(ValueError, match=text):
            make()
    # The remedy.
    Distiller(student=keras.Model(student.inputs, student.outputs), teacher=dense())


def test_own_compile_comes_first():
    def start():
        keras.utils.set_random_seed(0)
        return dense(OwnCompile)

    alone = start()
    alone.compile("sgd", "mse", factor=5.0)
    expected = alone.fit(X, Y, verbose=0).history["loss"]
    student = start()
    distiller = Distiller(student=student, alpha=1.0)
    distiller.compile("sgd", "mse")
    for run in (distiller.fit, distiller.evaluate):
        with pytest.raises(ValueError, match=r"own compile\(\) must have been compiled by it"):
            run(X, Y, verbose=0)
    student.compile(factor=5.0)
    np.testing.assert_allclose(distiller.fit(X, Y, verbose=0).history["loss"], expected)
    for one, other in zip(student.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(one, other)


def test_own_predictions():
    for base in (OwnPredictions, OwnPredictStep):
        student = dense(base)
        distiller = Distiller(student=student)
        for model in (student, distiller):
            model.compile(run_eagerly=True)
        for x in (X, DistillationInputs(student=X, teacher=X)):
            for data in (x, tf.data.Dataset.from_tensor_slices(x).batch(4)):
                found = distiller.predict(data, verbose=0)
                np.testing.assert_allclose(
                    *keras.tree.flatten([found, student.predict(X, verbose=0)]), rtol=1e-5
                )
    student = dense(OwnPredictions)
    found = Distiller(student=student).predict_on_batch(X)
    np.testing.assert_allclose(found["doubled"], student.predict_on_batch(X)["doubled"])


@pytest.mark.long
def test_own_results():
    """As of the student's own fit, in training and evaluation."""
    for base in (OwnResults, OnlyResults):
        histories = []
        for around in (lambda s: s, lambda s: Distiller(student=s, alpha=1.0)):
            keras.utils.set_random_seed(0)
            model = around(dense(base))
            model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
            history = model.fit(X, Y, validation_data=(X, Y), verbose=0, epochs=2).history
            histories.append(history)
        alone, distilled = histories
        assert set(alone) <= set(distilled)
        for name, values in alone.items():
            np.testing.assert_allclose(distilled[name], values, err_msg=name)


def test_own_results_beside_a_teacher_and_without_labels():
    student = dense(OwnResults)
    distiller = Distiller(student=student, teacher=dense(), alpha=0.0)
    distiller.compile("sgd", run_eagerly=True)
    history = distiller.fit(X, verbose=0, batch_size=4, epochs=2).history
    assert history["seen"] == [8.0, 8.0]
    assert history["half"] == [4.0, 4.0]
    assert history["soft_loss"][0] > 0


def test_own_losses():
    distiller = Distiller(student=dense(OwnLosses), alpha=1.0)
    distiller.compile(keras.optimizers.SGD(0.0), "mse")
    history = distiller.fit(X, Y, verbose=0).history
    np.testing.assert_allclose(history["loss"][0], history["hard_loss"][0] + 7.0, rtol=1e-6)


def test_models_that_learn_together_predict_by_themselves():
    for base in (OwnCompile, OwnPredictions, OwnPredictStep, OnlyResults, OwnLosses):
        with pytest.raises(ValueError, match=r"no loss or metrics of its own, and no other"):
            MutualLearning([dense(name="a"), dense(base, name="b")])


class Counting(keras.layers.Layer):
    """Counts what it sees, as layers with a codebook do."""

    def __init__(self, metric):
        super().__init__()
        self.seen = keras.metrics.Sum(name=metric)

    def call(self, x):
        self.seen.update_state(keras.ops.ones_like(x[:, 0]))
        return x


def counting(name, metric):
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(3)(Counting(metric)(inputs)), name=name)


def test_metrics_of_layers_that_learn_together():
    peers = MutualLearning([counting("a", "seen"), dense(name="b")])
    peers.compile("sgd", "mse", run_eagerly=True)
    history = peers.fit(X, Y, epochs=2, batch_size=4, shuffle=False, verbose=0).history
    assert history["seen"] == [8.0, 8.0]
    with pytest.raises(ValueError, match="metrics with names of their own"):
        MutualLearning([counting("a", "seen"), counting("b", "seen")])
