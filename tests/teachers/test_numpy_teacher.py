"""Functions of NumPy arrays as teachers: as those of TensorFlow, or one error that says how."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import Objective
from keras_distill import TeacherStore
from keras_distill import compare
from keras_distill import losses
from keras_distill.teachers import Ensemble
from keras_distill.teachers import numpy_teacher
from keras_distill.teaching import DataFree

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 8)).astype("float32")
Y = np.arange(40) % 3
KERNEL = RNG.normal(size=(8, 3)).astype("float32")


def logits_of(x):
    """As onnxruntime: only arrays go in, a list comes out."""
    if type(x) is not np.ndarray:
        raise RuntimeError(f"needs an array, got {type(x).__name__}")
    return [x @ KERNEL]


def student():
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])


def trained(teacher, **kwargs):
    keras.utils.set_random_seed(0)
    distiller = Distiller(
        student=student(), teacher=teacher, alpha=0.3, validate_with_teacher=True, **kwargs
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(0.1), loss, steps_per_execution=2)
    return distiller.fit(
        X, Y, batch_size=16, epochs=2, verbose=0, shuffle=False, validation_data=(X[:9], Y[:9])
    ).history


@pytest.mark.long
def test_it_teaches_as_a_function_of_tensorflow():
    expected = trained(lambda x: x @ KERNEL)
    objective = [
        Objective(
            losses.FeatureMSE(), teacher_layer="output[0]", student_layer="output", weight=0.0
        )
    ]
    for teacher, kwargs in (
        (numpy_teacher(logits_of, example=X[:2]), {}),
        # Its shape is asked for before there is a batch.
        (numpy_teacher(logits_of), {"objectives": objective}),
    ):
        actual = trained(teacher, **kwargs)
        for name, values in expected.items():
            np.testing.assert_allclose(actual[name], values, rtol=1e-5, err_msg=name)


@pytest.mark.long
def test_a_function_that_changes_its_arrays_leaves_the_batch_alone():
    def in_place(x):
        x -= 5.0
        x /= 2.0
        return x @ KERNEL

    expected = trained(numpy_teacher(lambda x: ((x - 5.0) / 2.0) @ KERNEL))
    actual = trained(numpy_teacher(in_place))
    for name, values in expected.items():
        np.testing.assert_allclose(actual[name], values, rtol=1e-5, err_msg=name)


def test_in_a_store_and_in_compare(tmp_path):
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    stores = [
        TeacherStore.build(data, teacher, tmp_path / name, version="1")
        for name, teacher in (
            ("tensorflow", lambda x: [x @ KERNEL]),
            ("numpy", numpy_teacher(logits_of)),
        )
    ]
    carried = [next(iter(s.attach(data.batch(40))))[0].teacher_outputs for s in stores]
    np.testing.assert_array_equal(*keras.tree.flatten(carried))
    teachers = {"t": numpy_teacher(lambda x: x @ KERNEL), "s": student()}
    assert "t" in compare(teachers, (X, Y), num_threads=(), verbose=0).models


def test_nested_inputs_and_outputs_of_any_length():
    def function(x):
        assert x["words"].dtype == object
        lengths = np.char.str_len(x["words"].astype("S"))[..., None].astype("float64")
        return {"tokens": lengths * x["scale"][:, None, None], "pooled": lengths[:, 0]}

    teacher = numpy_teacher(function)
    graph = tf.function(teacher, reduce_retracing=True)
    for length in (3, 5):
        words = np.array([["ab"] * length, ["abc"] * length])
        x = {"words": words, "scale": np.array([1.0, 2.0])}
        for run in (graph, teacher):
            outputs = run(keras.tree.map_structure(tf.constant, x))
            assert outputs["tokens"].dtype == "float64"
            np.testing.assert_array_equal(
                outputs["tokens"][:, :, 0], [[2.0] * length, [6.0] * length]
            )
            np.testing.assert_array_equal(outputs["pooled"], [[2.0], [3.0]])


def test_on_two_devices(two_devices):
    with two_devices.scope():
        distiller = Distiller(student=student(), teacher=numpy_teacher(logits_of), alpha=0.0)
        distiller.compile(keras.optimizers.SGD(0.1))
    history = distiller.fit(X, batch_size=8, verbose=0).history
    assert np.isfinite(history["soft_loss"]).all()


def test_in_an_ensemble():
    ensemble = Ensemble([numpy_teacher(lambda x: 5 + x @ KERNEL), student()])
    distiller = Distiller(student=student(), teacher=ensemble, alpha=0.0)
    distiller.compile("sgd")
    assert np.isfinite(distiller.fit(X, verbose=0).history["soft_loss"]).all()


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (lambda x: np.asarray(x) @ KERNEL, r"It raised NotImplementedError: .*numpy_teacher\(func"),
        (lambda x: x.numpy() @ KERNEL, r"It raised AttributeError: .*numpy_teacher\(function\)"),
        (lambda x: tf.numpy_function(logits_of, [x], [tf.float32]), "known rank.*numpy_teacher"),
        (lambda x: tf.py_function(lambda a: a @ KERNEL, [x], tf.float32), "known rank.*numpy_tea"),
        (lambda x: logits_of(x)[0], r"It raised RuntimeError: needs .*numpy_teacher\(function\)"),
        (numpy_teacher(lambda x: (x @ KERNEL)[:0]), r"one row for each example.*shape \(0, 3\)"),
        (numpy_teacher(lambda x: np.array(["a"] * len(x))), "arrays of numbers.*dtype <U1"),
    ],
)
def test_one_error_says_how(teacher, message, tmp_path):
    distiller = Distiller(student=student(), teacher=teacher, alpha=0.0)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=message):
        distiller.fit(X, batch_size=16, verbose=0)
    with pytest.raises(ValueError, match=message):
        TeacherStore.build(
            tf.data.Dataset.from_tensor_slices(X[:1]), teacher, tmp_path / "store", version="1"
        )


def test_what_it_cannot_be():
    for function in (None, student()):
        with pytest.raises(ValueError, match="function must be a function from NumPy arrays"):
            numpy_teacher(function)
    with pytest.raises(ValueError, match="needs dense inputs"):
        numpy_teacher(logits_of)(tf.ragged.constant([[1.0], [1.0, 2.0]]))
    sizes = iter([3, 4])
    teacher = numpy_teacher(lambda x: np.zeros((len(x), next(sizes))))
    teacher(X)
    with pytest.raises(ValueError, match=r"the same sizes.*\(40, 4\).*\(40, 3\)"):
        teacher(X)
    # Whole numbers of zeros, fractions of all else, which would be cut.
    teacher = numpy_teacher(lambda x: np.array([[0, 0] if not r.any() else list(r[:2]) for r in x]))
    teacher(np.zeros((2, 8)))
    with pytest.raises(ValueError, match=r"kind of numbers.*float.*after.*int"):
        teacher(X)
    distiller = Distiller(student=student(), teacher=numpy_teacher(logits_of), alpha=0.0)
    distiller.compile("sgd")
    noise = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    data_free = DataFree(distiller, noise)
    data_free.compile()
    with pytest.raises(ValueError, match=r"gradients to the teacher's inputs.*numpy_teacher"):
        data_free.fit(steps_per_epoch=1, batch_size=4)


def test_carried_inputs_of_the_teachers_own():
    x = DistillationInputs(X, teacher=(X[:, :2], X[:, 2:]))
    distiller = Distiller(
        student=student(),
        teacher=numpy_teacher(lambda x: np.concatenate(x, axis=1) @ KERNEL),
        alpha=0.0,
    )
    distiller.compile("sgd")
    assert np.isfinite(distiller.fit(x, verbose=0).history["soft_loss"]).all()
