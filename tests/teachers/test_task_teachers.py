"""A teacher for each head."""

import keras
import numpy as np
import pytest

from keras_distill.teachers import TaskTeachers

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


def dense(units):
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(units)]
    )


def test_each_head_has_its_teacher():
    """In inference mode, with its own view of the inputs, in a dict of any order."""
    teachers = {"b": dense(3), "a": dense(2), "c": lambda x: x[:, 0]}
    outputs = TaskTeachers(teachers, {"a": lambda x: -x})(X, training=True)
    assert set(outputs) == {"a", "b", "c"}
    np.testing.assert_array_equal(outputs["b"], teachers["b"](X, training=False))
    np.testing.assert_array_equal(outputs["a"], teachers["a"](-X, training=False))
    np.testing.assert_array_equal(outputs["c"], X[:, 0])


def test_saved_and_loaded(tmp_path):
    """Under the names of the heads: Keras saves the teachers as a list."""
    teachers = TaskTeachers({"b": dense(3), "a": dense(2)})
    outputs = teachers(X)
    teachers.save(tmp_path / "teachers.keras")
    loaded = keras.models.load_model(tmp_path / "teachers.keras")(X)
    for head in "ab":
        np.testing.assert_allclose(loaded[head], outputs[head], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([dense(2)],), "teachers must be a dict from the name of a head"),
        (({},), "at least one"),
        (({"a": "bert"},), "models or functions"),
        (({"a": dense(2)}, {"b": len}), r"no teacher: \['b'\]. The heads are \['a'\]"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TaskTeachers(*arguments)
