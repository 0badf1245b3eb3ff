import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import log_softmax

import keras_distill as kd

rng = np.random.default_rng(0)


def divergence(teacher, student):
    teacher, student = (log_softmax(np.asarray(v, "float64"), -1) for v in (teacher, student))
    return np.sum(np.exp(teacher) * (teacher - student), axis=-1)


@pytest.mark.parametrize("scale", [1, 50])
@pytest.mark.parametrize("shape", [(7, 5), (4, 6, 3)])
def test_against_numpy(shape, scale):
    teacher, student = scale * rng.normal(size=(2, *shape)).astype("float32")
    weights = rng.uniform(size=shape[:-1]).astype("float32")
    for metric, values in (
        (kd.metrics.Fidelity(), divergence(teacher, student)),
        (kd.metrics.TeacherAgreement(), teacher.argmax(-1) == student.argmax(-1)),
    ):
        metric.update_state(teacher, student)
        np.testing.assert_allclose(metric.result(), np.mean(values), rtol=1e-5)
        metric.reset_state()
        metric.update_state(teacher, student, sample_weight=weights)
        np.testing.assert_allclose(metric.result(), np.average(values, weights=weights), rtol=1e-5)


def test_agreement_of_one_logit():
    metric = kd.metrics.TeacherAgreement()
    metric.update_state([[5.0], [-5.0], [1.0]], [[-5.0], [-4.0], [2.0]])
    np.testing.assert_allclose(metric.result(), 2 / 3)


def test_config():
    metric = kd.metrics.Fidelity(teacher_from_logits=False, name="close")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    probabilities, logits = np.array([[0.9, 0.1]]), np.array([[0.0, 1.0]])
    for one in (metric, again):
        one.update_state(probabilities, logits)
    assert again.name == "close"
    np.testing.assert_allclose(again.result(), metric.result())
    np.testing.assert_allclose(metric.result(), divergence(np.log(probabilities), logits)[0], 1e-5)


def make(units, activation=None, **kwargs):
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(units, activation, **kwargs)(inputs))


def metrics():
    return [kd.metrics.TeacherAgreement(), kd.metrics.Fidelity()]


class TestInFit:
    x = rng.normal(size=(40, 6)).astype("float32")
    y = rng.integers(0, 3, 40)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def distiller(self, teacher, **kwargs):
        distiller = kd.Distiller(
            student=make(3), teacher=teacher, teacher_metrics=metrics(), **kwargs
        )
        # With a learning rate of 0 an epoch's mean is that of the model.
        distiller.compile(keras.optimizers.SGD(0.0), self.loss, metrics=["accuracy"])
        return distiller

    def expected(self, distiller, logits, weights=None):
        student = distiller.student.predict(self.x, verbose=0)
        is_same = student.argmax(-1) == logits.argmax(-1)
        return [np.average(v, weights=weights) for v in (is_same, divergence(logits, student))]

    @pytest.mark.long_but_first
    @pytest.mark.parametrize("alpha", [0.1, 1.0])
    @pytest.mark.parametrize("activation", [None, "softmax"])
    def test_are_the_epochs(self, activation, alpha):
        teacher = make(3, activation)
        distiller = self.distiller(teacher, alpha=alpha)
        weights = rng.uniform(0.5, 2, 40).astype("float32")
        logs = distiller.fit(self.x, self.y, sample_weight=weights, batch_size=16, verbose=0)
        logits = teacher.predict(self.x, verbose=0)
        logits = np.log(logits) if activation else logits
        agreement, fidelity = self.expected(distiller, logits, weights)
        np.testing.assert_allclose(logs.history["teacher_agreement"], [agreement], rtol=1e-5)
        np.testing.assert_allclose(logs.history["fidelity"], [fidelity], rtol=1e-4)
        assert {"loss", "hard_loss", "accuracy"} <= set(logs.history)

    def test_in_validation_only_with_the_teacher(self):
        teacher = make(3)
        plain = self.distiller(teacher).evaluate(self.x, self.y, verbose=0, return_dict=True)
        assert set(plain) == {"loss", "accuracy"}
        distiller = self.distiller(teacher, validate_with_teacher=True)
        logs = distiller.evaluate(self.x, self.y, verbose=0, return_dict=True)
        agreement, _ = self.expected(distiller, teacher.predict(self.x, verbose=0))
        np.testing.assert_allclose(logs["teacher_agreement"], agreement, rtol=1e-5)

    def test_masks(self):
        inputs = keras.Input((5,), dtype="int32")
        embedded = layers.Embedding(9, 4, mask_zero=True)(inputs)
        student = keras.Model(inputs, layers.Dense(3)(embedded))
        ids = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 7]])
        logits = rng.normal(size=(2, 5, 3)).astype("float32")
        distiller = kd.Distiller(student=student, alpha=0.0, teacher_metrics=metrics())
        distiller.compile(keras.optimizers.SGD(0.0))
        x = kd.DistillationInputs(ids, teacher_outputs=logits)
        logs = distiller.fit(x, verbose=0).history
        is_word = ids != 0
        values = divergence(logits, student.predict(ids, verbose=0))[is_word]
        np.testing.assert_allclose(logs["fidelity"], [values.mean()], rtol=1e-5)

    def test_saved(self, tmp_path):
        distiller = self.distiller(make(3))
        distiller.fit(self.x, self.y, verbose=0)
        distiller.save(tmp_path / "distiller.keras")
        again = keras.models.load_model(tmp_path / "distiller.keras")
        assert [m.name for m in again.teacher_metrics] == ["teacher_agreement", "fidelity"]

    def test_bad(self):
        with pytest.raises(ValueError, match=r"teacher_metrics must be Keras metrics.*accuracy"):
            kd.Distiller(student=make(3), teacher=make(3), teacher_metrics=["accuracy"])
        with pytest.raises(ValueError, match=r"none of .*'soft_loss'"):
            kd.Distiller(
                student=make(3),
                teacher=make(3),
                teacher_metrics=[kd.metrics.Fidelity(name="soft_loss")],
            )
        same = kd.Distiller(
            student=make(3),
            teacher=make(3),
            teacher_metrics=[kd.metrics.TeacherAgreement(name="accuracy")],
        )
        same.compile("sgd", self.loss, metrics=["accuracy"])
        with pytest.raises(ValueError, match=r"names of their own.*Received: \['accuracy'\]"):
            same.fit(self.x, self.y, verbose=0)
        inputs = keras.Input((6,))
        two = keras.Model(inputs, [layers.Dense(2)(inputs), layers.Dense(3)(inputs)])
        other = keras.models.clone_model(two)
        distiller = kd.Distiller(student=two, teacher=other, alpha=0.0, teacher_metrics=metrics())
        distiller.compile("sgd")
        with pytest.raises(ValueError, match=r"teacher_metrics need a student with one output.*2"):
            distiller.fit(self.x, verbose=0)


def test_tensorboard_has_every_part_of_the_loss(tmp_path):
    tf = pytest.importorskip("tensorflow")
    hint = kd.Objective(
        kd.losses.FeatureMSE(),
        teacher_layer="output",
        student_layer="output",
        name="hint",
        weight=0.5,
    )
    distiller = kd.Distiller(
        student=make(3), teacher=make(3), objectives=[hint], teacher_metrics=metrics()
    )
    distiller.compile("sgd", TestInFit.loss)
    callback = keras.callbacks.TensorBoard(tmp_path)
    distiller.fit(TestInFit.x, TestInFit.y, callbacks=[callback], verbose=0)
    (file,) = (tmp_path / "train").glob("*")
    tags = {
        value.tag
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    parts = ("loss", "hard_loss", "soft_loss", "hint", "teacher_agreement", "fidelity")
    assert {f"epoch_{part}" for part in parts} <= tags
