"""After Ctrl-C nothing is half written, and the next call works."""

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_distill as kd

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = np.arange(12) % 2


@pytest.fixture(autouse=True)
def as_in_the_foreground():
    """What runs in the background of a shell script ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def distiller():
    teacher, student = (
        keras.Sequential([keras.Input((3,)), layers.Dense(width, name="hidden"), layers.Dense(2)])
        for width in (8, 4)
    )
    hint = kd.Objective(
        kd.losses.FeatureMSE(), teacher_layer="hidden", student_layer="hidden", projector="auto"
    )
    made = kd.Distiller(student=student, teacher=teacher, objectives=[hint])
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


def interrupt(*_, **__):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("hook", ["on_train_begin", "on_train_batch_end", "on_test_begin"])
def test_fit(hook):
    one = distiller()
    callback = keras.callbacks.LambdaCallback()
    setattr(callback, hook, interrupt)
    data = {"x": X, "y": Y, "batch_size": 4, "validation_data": (X, Y), "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        one.fit(**data, callbacks=[callback])
    assert np.isfinite(one.fit(**data).history["val_loss"][0])


def test_save(tmp_path, monkeypatch):
    one = distiller()
    one.fit(X, Y, verbose=0)
    one.save(tmp_path / "one.keras")
    content = (tmp_path / "one.keras").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(kd.Objective, "get_config", interrupt)
        with pytest.raises(KeyboardInterrupt):
            one.save(tmp_path / "one.keras")
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == ["one.keras"]
    assert (tmp_path / "one.keras").read_bytes() == content
    one.save(tmp_path / "one.keras")


def test_building_a_store(tmp_path, monkeypatch):
    one = distiller()
    examples = tf.data.Dataset.from_tensor_slices(X)
    with monkeypatch.context() as patched:
        patched.setattr("keras_distill.store.build.complete_shard", interrupt)
        with pytest.raises(KeyboardInterrupt):
            kd.TeacherStore.build(examples, one.teacher, tmp_path / "store", verbose=0)
    store = kd.TeacherStore.build(examples, one.teacher, tmp_path / "store", verbose=0)
    (x,) = store.attach(examples.batch(len(X)))
    np.testing.assert_allclose(x.teacher_outputs, one.teacher(X), rtol=1e-3, atol=1e-3)
