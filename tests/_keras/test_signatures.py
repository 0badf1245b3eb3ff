"""A signature of a SavedModel teaches, from a store and live, and is known again."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_distill as kd
from keras_distill.teachers.identity import identify_teacher

X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")


KEPT = []


def exported(model, path):
    model.export(path, verbose=False)
    module = tf.saved_model.load(str(path))
    KEPT.append(module)
    return module.signatures["serving_default"]


@pytest.fixture(scope="module")
def model():
    layer = keras.layers.Dense(3, "softmax")
    return keras.Sequential([keras.Input((4,), name="x"), layer])


def test_in_a_store_and_live(model, tmp_path):
    signature = exported(model, tmp_path / "model")
    examples = tf.data.Dataset.from_tensor_slices(X)
    store = kd.TeacherStore.build(examples, signature, tmp_path / "s", verbose=0)
    (x,) = store.attach(examples).batch(len(X))
    np.testing.assert_allclose(x.teacher_outputs, model(X), atol=1e-3)
    weights = []
    for data in (store.attach(examples).batch(8), examples.batch(8)):
        keras.utils.set_random_seed(0)
        student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        soft_loss = kd.losses.SoftTargetKL(teacher_from_logits=False)
        distiller = kd.Distiller(student=student, teacher=signature, alpha=0.0, soft_loss=soft_loss)
        distiller.compile("sgd")
        distiller.fit(data, shuffle=False, verbose=0)
        weights.append(student.get_weights())
    for stored, live in zip(*weights):
        np.testing.assert_allclose(stored, live, atol=1e-3)


def test_whose_module_is_gone(model, tmp_path):
    model.export(tmp_path / "model", verbose=False)
    signature = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    examples = tf.data.Dataset.from_tensor_slices(X)
    with pytest.raises(ValueError, match=r"whose module is gone.*Keep the module"):
        kd.TeacherStore.build(examples, signature, tmp_path / "s", verbose=0)


def test_is_known_again(model, tmp_path):
    first = identify_teacher(exported(model, tmp_path / "1"), None)
    assert identify_teacher(exported(model, tmp_path / "1"), None) == first
    model.layers[-1].bias.assign_add([1e-3, 0, 0])
    assert identify_teacher(exported(model, tmp_path / "2"), None)["weights"] != first["weights"]


def test_constants_tell_it_apart(tmp_path):
    """A frozen graph has its weights within."""
    found = []
    for factor in (2.0, 2.0, 3.0):
        module = tf.Module()
        spec = tf.TensorSpec([None, 4])
        module.f = tf.function(lambda x, n=factor: {"y": n * x}, input_signature=[spec])
        path = str(tmp_path / f"{len(found)}")
        tf.saved_model.save(module, path, signatures=module.f)
        signature = tf.saved_model.load(path).signatures["serving_default"]
        found.append(identify_teacher(signature, None))
    assert found[0] == found[1] != found[2]


def test_several_inputs_and_outputs(tmp_path):
    a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b", dtype="int32")
    outputs = {"p": keras.layers.Dense(3)(a), "q": keras.layers.Embedding(5, 2)(b)}
    model = keras.Model({"a": a, "b": b}, outputs)
    signature = exported(model, tmp_path / "model")
    x = {"a": X, "b": np.ones((40, 2), "int64")}
    examples = tf.data.Dataset.from_tensor_slices(x)
    store = kd.TeacherStore.build(examples, signature, tmp_path / "s", verbose=0)
    (batch,) = store.attach(examples).batch(len(X))
    np.testing.assert_allclose(batch.teacher_outputs["p"], model(x)["p"], atol=1e-2)
    with pytest.raises(ValueError, match=r"a dict with the keys \['a', 'b'\]. Received: \['a'\]"):
        kd.TeacherStore.build(examples.map(_without_b), signature, tmp_path / "t", verbose=0)


def _without_b(x):
    return {"a": x["a"]}
