"""What all models have in common that teach in their train step."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd
from keras_distill.students import quantization_aware

FEATURES = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
LABELS = np.arange(16) % 3


def dense(inputs, outputs, name):
    hidden = layers.Dense(6, "relu")
    return keras.Sequential([keras.Input((inputs,)), hidden, layers.Dense(outputs)], name=name)


def distiller():
    model = kd.Distiller(student=dense(4, 3, "student"), teacher=dense(4, 3, "teacher"), alpha=0.0)
    model.compile(keras.optimizers.SGD(0.1))
    return model


def mutual():
    model = kd.teaching.MutualLearning([dense(4, 3, "first"), dense(4, 3, "second")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


def data_free():
    model = kd.teaching.DataFree(distiller(), dense(5, 4, "generator"), seed=1)
    model.compile(keras.optimizers.SGD(0.1))
    return model


def fit(model, **kwargs):
    if isinstance(model, kd.teaching.DataFree):
        return model.fit(batch_size=8, steps_per_epoch=2, verbose=0, **kwargs)
    return model.fit(FEATURES, LABELS, batch_size=8, verbose=0, shuffle=False, **kwargs)


NAMES = {distiller: ["student"], mutual: ["first", "second"], data_free: ["student"]}


@pytest.mark.parametrize("make", NAMES)
class TestStudents:
    def test_names(self, make):
        assert [student.name for student in make().students] == NAMES[make]

    @pytest.mark.long_but_first
    def test_all_of_them_and_nothing_else_is_rounded(self, make):
        model = make()
        plain = [student(FEATURES) for student in model.students]
        noise = np.ones((2, 5), "float32")
        made = model.generator(noise) if make is data_free else None
        with quantization_aware(model):
            for student, before in zip(model.students, plain):
                difference = np.abs(student(FEATURES) - before).max()
                assert 0 < difference < 0.1
            if make is data_free:
                np.testing.assert_array_equal(model.generator(noise), made)
            else:
                teacher = getattr(model, "teacher", None)
                assert teacher is None or np.array_equal(teacher(FEATURES), teacher(FEATURES))
            losses = fit(model).history["loss"]
        assert np.all(np.isfinite(losses))
        before = [student(FEATURES) for student in model.students]
        for student, value in zip(model.students, before):
            np.testing.assert_array_equal(student(FEATURES), value)

    @pytest.mark.long_but_first
    def test_all_of_them_and_nothing_else_is_pruned(self, make):
        model = make()
        fit(model, callbacks=[kd.callbacks.Pruning(0.5, frequency=1)])
        for student in model.students:
            for layer in student.layers:
                assert np.mean(layer.kernel == 0) == pytest.approx(0.5, abs=0.1)
        if make is data_free:
            assert np.all(model.generator.layers[0].kernel != 0)


@pytest.mark.parametrize("make", NAMES)
class TestSaving:
    def test_a_file_is_replaced_in_one_step(self, make, tmp_path, monkeypatch):
        path = tmp_path / "model.weights.h5"
        model = make()
        model.save_weights(path)
        before = path.read_bytes()

        def fail(*args):
            raise OSError("no space left")

        monkeypatch.setattr(model, "save_own_variables", fail)
        with pytest.raises(OSError, match="no space left"):
            model.save_weights(path)
        assert path.read_bytes() == before
        assert [file.name for file in tmp_path.iterdir()] == [path.name]

    @pytest.mark.long_but_first
    def test_it_goes_on_where_it_stopped(self, make, tmp_path):
        model, other = make(), make()
        fit(model)
        model.save_weights(tmp_path / "model.weights.h5")
        fit(other)
        other.load_weights(tmp_path / "model.weights.h5")
        for expected, found in zip(model.weights, other.weights):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("make", "name"),
    [(distiller, "student"), (distiller, "objectives"), (mutual, "models"), (data_free, "seed")],
)
def test_what_a_step_is_made_of_cannot_be_set_later(make, name):
    model = make()
    with pytest.raises(ValueError, match=f"{name} of {type(model).__name__} cannot be set later"):
        setattr(model, name, None)


@pytest.mark.parametrize(("make", "name"), [(distiller, "alpha"), (mutual, "weight")])
def test_what_can_be_set_is_checked_and_counts(make, name):
    model = make()
    fit(model)
    before = model.train_function
    with pytest.raises(ValueError, match=f"{name} must be"):
        setattr(model, name, -1.0)
    assert getattr(model, name) != -1.0
    setattr(model, name, 0.7)
    assert model.train_function is not before
