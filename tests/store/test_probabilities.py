"""Probabilities come back from float16 as exact as logits, also next to 0 and to 1."""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from store_examples import dataset
from store_examples import make_teacher
from store_examples import numbers

import keras_distill as kd
from keras_distill import TeacherStore

TEMPERATURES = [1.0, 2.0, 4.0, 8.0, 20.0]


def confident(activation, num_classes=10):
    """Its probabilities reach from 1e-30 to 1 - 1e-7."""
    x = keras.Input((4,))
    kernel = keras.initializers.RandomNormal(stddev=8.0, seed=0)
    layer = keras.layers.Dense(num_classes, activation=activation, kernel_initializer=kernel)
    return keras.Model(x, layer(x))


def live_and_stored(teacher, path, **settings):
    x = numbers()[0]
    store = TeacherStore.build(dataset(), teacher, path, verbose=0, **settings)
    ((batch, _),) = store.attach(dataset()).batch(len(x))
    # In a graph, as the store: alone, TensorFlow rounds some sigmoids otherwise on some processors.
    live = tf.function(teacher)(tf.constant(x))
    return np.asarray(live, "float32"), batch.teacher_outputs.numpy()


def soft_targets(loss, probabilities, temperature):
    logits = np.asarray(loss.logits_of(tf.constant(probabilities)), "float64") / temperature
    is_softmax = isinstance(loss, kd.losses.SoftTargetKL)
    return scipy.special.softmax(logits, axis=-1) if is_softmax else scipy.special.expit(logits)


@pytest.mark.parametrize(
    ("activation", "loss"),
    [("softmax", kd.losses.SoftTargetKL()), ("sigmoid", kd.losses.BinarySoftTargets())],
)
def test_soft_targets_at_any_temperature(activation, loss, tmp_path):
    """Float16 itself has a third of these as 0, or as 1."""
    live, stored = live_and_stored(confident(activation), tmp_path / "s")
    assert np.mean(live.astype("float16") % 1 == 0) > 0.2
    np.testing.assert_array_equal(stored % 1 == 0, live % 1 == 0)
    np.testing.assert_allclose(stored, live, atol=3e-4)
    for temperature in TEMPERATURES:
        targets = [soft_targets(loss, values, temperature) for values in (live, stored)]
        np.testing.assert_allclose(*targets, atol=2e-3)


def test_what_is_exactly_0_or_1_stays_so(tmp_path):
    def certain(x):
        return tf.one_hot(tf.argmax(x, axis=-1), 4)

    live, stored = live_and_stored(certain, tmp_path / "s", version="1")
    np.testing.assert_array_equal(stored, live)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_teacher_in_half_precision(dtype, tmp_path):
    """Rounded in bfloat16, a softmax may add up to less than 0.99."""
    live, stored = live_and_stored(
        lambda x: tf.cast(scaled_softmax(x), dtype), tmp_path / "s", version="1"
    )
    logs = [np.log(values[live > 0]) for values in (live, stored)]
    np.testing.assert_allclose(*logs, rtol=1e-3, atol=1e-3)


def scaled_softmax(x):
    return tf.nn.softmax(4 * x)


def test_hidden_probabilities(tmp_path):
    x = keras.Input((4,))
    kernel = keras.initializers.RandomNormal(stddev=8.0, seed=0)
    gate = keras.layers.Dense(6, "softmax", kernel_initializer=kernel, name="gate")(x)
    teacher = keras.Model(x, keras.layers.Dense(3)(gate))
    store = TeacherStore.build(dataset(), teacher, tmp_path / "s", taps=("gate",), verbose=0)
    ((batch, _),) = store.attach(dataset()).batch(50)
    live = keras.Model(x, gate)(batch.student).numpy()
    np.testing.assert_allclose(
        np.log(batch.teacher_outputs["gate"]), np.log(live), rtol=1e-3, atol=1e-3
    )


def test_float32_keeps_every_bit(tmp_path):
    live, stored = live_and_stored(confident("softmax"), tmp_path / "s", dtype="float32")
    np.testing.assert_allclose(stored, live, rtol=1e-5)
    assert (tmp_path / "s" / "shard_00000" / "output.npy").exists()


def test_some_from_the_store_and_some_live(tmp_path):
    """An example that the teacher answers as it comes is rounded like those of the store."""
    for top_k in (None, 3):
        teacher = confident("softmax")
        path = tmp_path / str(top_k)
        store = TeacherStore.build(dataset(), teacher, path, top_k=top_k, verbose=0)
        half = TeacherStore.build(dataset(25), teacher, f"{path}_h", top_k=top_k, verbose=0)
        ((whole, _),) = store.attach(dataset().batch(50))
        ((mixed, _),) = half.attach(dataset().batch(50), "teacher", teacher)
        np.testing.assert_allclose(mixed.teacher_outputs, whole.teacher_outputs, rtol=1e-2)


class TestTopK:
    def test_of_a_function_that_gives_probabilities(self, tmp_path):
        """Taken for logits, the best class of ten would have a probability of 0.2 at most."""
        live, stored = live_and_stored(scaled_softmax, tmp_path / "s", version="1", top_k=3)
        np.testing.assert_allclose(np.exp(stored).max(axis=-1), live.max(axis=-1), rtol=1e-3)

    def test_of_a_function_whose_classes_do_not_exclude_each_other(self, tmp_path):
        with pytest.raises(ValueError, match=r"has values, of no softmax \(sigmoid\)"):
            live_and_stored(tf.sigmoid, tmp_path / "s", version="1", top_k=3)


class AlwaysDropped(keras.layers.Dropout):
    def call(self, inputs, training=False):
        return super().call(inputs, training=True)


class TestRandomTeachers:
    @pytest.mark.parametrize("activation", [None, "softmax"])
    def test_are_refused(self, activation, tmp_path):
        x = keras.Input((4,))
        hidden = AlwaysDropped(0.1)(keras.layers.Dense(16)(x))
        teacher = keras.Model(x, keras.layers.Dense(3, activation=activation)(hidden))
        with pytest.raises(ValueError, match=r"must give the same outputs for the same examples"):
            TeacherStore.build(dataset(), teacher, tmp_path / "s", verbose=0)
        assert not (tmp_path / "s").exists()

    def test_dropout_that_is_off_is_none(self, tmp_path):
        x = keras.Input((4,))
        teacher = keras.Model(x, keras.layers.Dense(3)(keras.layers.Dropout(0.5)(x)))
        assert len(TeacherStore.build(dataset(), teacher, tmp_path / "s", verbose=0)) == 50


def in_training_mode(x):
    """Its batch normalisation takes the statistics of the batch."""
    return (x - tf.reduce_mean(x, axis=0)) / tf.math.reduce_std(x, axis=0)


def dropped_by_place(x):
    return tf.nn.experimental.stateless_dropout(x, 0.5, seed=[1, 2])


@pytest.mark.parametrize("teacher", [in_training_mode, dropped_by_place])
def test_teachers_that_look_at_the_batch(teacher, tmp_path):
    """They say the same twice of the same batch; stored was what they say in one of many."""
    with pytest.raises(ValueError, match="the same outputs whatever examples are beside it"):
        TeacherStore.build(dataset(), teacher, tmp_path / "s", version="1", verbose=0)
    assert not (tmp_path / "s").exists()


class TestFloat16IsTooCoarse:
    @pytest.mark.parametrize(
        "teacher",
        [
            lambda x: 1999.3 + x[:, :1],  # Years, to be rounded to whole ones.
            lambda x: 1e-8 * x,  # Of which float16 has 0 and 6e-8.
            lambda x: 3000.0 + x,  # Logits: a softmax knows nothing of the 3000.
        ],
    )
    def test_is_refused(self, teacher, tmp_path):
        with pytest.raises(ValueError, match=r"float16 is too coarse.*Give dtype='float32'"):
            TeacherStore.build(dataset(), teacher, tmp_path / "s", version="1", verbose=0)
        live, stored = live_and_stored(teacher, tmp_path / "s", version="1", dtype="float32")
        np.testing.assert_array_equal(live, stored)

    @pytest.mark.parametrize(
        "teacher",
        [
            lambda x: 0.1 + 0 * x,
            lambda x: 1000.0 + 0 * x,
            lambda x: tf.concat([100.0 + 0 * x, x], axis=1),
            lambda x: 2000.0 + 30 * x,
        ],
    )
    def test_what_it_holds(self, teacher, tmp_path):
        live, stored = live_and_stored(teacher, tmp_path / "s", version="1")
        np.testing.assert_allclose(live, stored, rtol=1e-3, atol=1e-3)


class TestDomain:
    @pytest.mark.parametrize(
        ("activation", "top_k", "domain"),
        [(None, None, "logits"), ("sigmoid", None, "sigmoid"), ("softmax", 2, "logits")],
    )
    def test_is_kept(self, activation, top_k, domain, tmp_path):
        teacher = make_teacher(activation=activation)
        store = TeacherStore.build(dataset(), teacher, tmp_path / "s", top_k=top_k, verbose=0)
        assert store.output_domain == domain

    def test_a_yes_or_no_teacher_is_compared_as_one(self, tmp_path):
        x, y = numbers()
        teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
        store = TeacherStore.build(dataset(), teacher, tmp_path / "s", verbose=0)
        settings = {"num_threads": (), "num_resamples": 10, "verbose": 0}
        tables = [
            kd.compare({"teacher": model}, (x, y % 2), **settings)["teacher"].figures
            for model in (teacher, store)
        ]
        live, stored = (
            {measure.name: figure.value for measure, figure in table.items()} for table in tables
        )
        assert "accuracy" in live
        np.testing.assert_allclose(list(stored.values()), list(live.values()), atol=1e-3)
        assert list(stored) == list(live)
