"""SpecialistKL against its formula in float64, one teacher after the other."""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from keras_distill.losses import SoftTargetKL
from keras_distill.losses import SpecialistKL

GROUPS = [[4, 0, 2], [1, 2], [3, 4]]
WIDTH, CLASSES = 7, 6
SHAPES = [(5,), (2, 3)]


def value_and_gradient(teacher, student, temperature):
    """Oracle: unreduced values and the gradient of their sum, by loops over positions."""
    flat_teacher, flat = teacher.reshape(-1, WIDTH), student.reshape(-1, CLASSES)
    values, gradient = np.zeros(len(flat)), np.zeros_like(flat)
    for position in range(len(flat)):
        start = 0
        for group in GROUPS:
            z = flat_teacher[position, start : start + len(group)]
            log_p = scipy.special.log_softmax(z / temperature)
            log_q = scipy.special.log_softmax(flat[position, group] / temperature)
            p, q = np.exp(log_p), np.exp(log_q)
            share = temperature**2 / len(GROUPS)
            values[position] += share * np.sum(p * (log_p - log_q))
            # Class 2 and 4 get one from each of their two teachers.
            gradient[position, group] += share * (q - p) / temperature
            start += len(group)
    return values.reshape(teacher.shape[:-1]), gradient.reshape(student.shape)


def random(shape, width, scale, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, width), scale=scale).astype("float32")


def measured(teacher, student, **settings):
    student = tf.Variable(student)
    loss = SpecialistKL(GROUPS, reduction=None, **settings)
    with tf.GradientTape() as tape:
        values = loss(teacher, student)
    return values.numpy(), tape.gradient(values, student).numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("scale", "temperature"), [(1.0, 4.0), (5.0, 1.0), (1000.0, 2.0)])
def test_value_and_gradient(shape, scale, temperature):
    teacher, student = random(shape, WIDTH, scale), random(shape, CLASSES, scale, 1)
    expected = value_and_gradient(np.float64(teacher), np.float64(student), temperature)
    for ours, oracle in zip(measured(teacher, student, temperature=temperature), expected):
        assert np.linalg.norm(ours - oracle) < 1e-6 * np.linalg.norm(oracle)


def test_zero_for_a_student_that_says_what_its_teachers_say():
    """Exactly, whatever constant each teacher's logits have beside."""
    student = random((5,), CLASSES, 20.0)
    teacher = np.concatenate([student[:, group] for group in GROUPS], -1)
    values, gradient = measured(teacher, student)
    np.testing.assert_array_equal(values, 0)
    np.testing.assert_array_equal(gradient, 0)
    shifted = np.concatenate([student[:, g] + i for i, g in enumerate(GROUPS)], -1)
    assert np.abs(measured(shifted, student)[0]).max() < 1e-8


def test_classes_that_no_teacher_knows_are_free():
    """Class 5 is in no group: a gradient on it would come from a softmax over all classes."""
    _, gradient = measured(random((5,), WIDTH, 3.0), random((5,), CLASSES, 3.0, 1))
    np.testing.assert_array_equal(gradient[:, 5], 0)
    assert np.abs(gradient[:, :5]).min(axis=0).max() > 0


def test_one_teacher_of_all_classes_is_the_usual_soft_loss():
    teacher, student = random((5,), CLASSES, 3.0), random((5,), CLASSES, 3.0, 1)
    ours = SpecialistKL([range(CLASSES)], temperature=2.0)(teacher, student)
    np.testing.assert_allclose(ours, SoftTargetKL(2.0)(teacher, student), rtol=1e-7)


def test_masks_and_weights():
    """Both at once: a masked position must not count, whatever its weight."""
    teacher, student = random((2, 3), WIDTH, 2.0), random((2, 3), CLASSES, 2.0, 1)
    values, _ = value_and_gradient(np.float64(teacher), np.float64(student), 4.0)
    weights = np.array([[1.0, 2.0, 3.0], [0.5, 0.0, 1.0]])
    mask = np.array([[True, True, False], [True, True, True]])
    masked = tf.constant(student)
    masked._keras_mask = tf.constant(mask)
    # Keras gives a masked mean the count of what is left.
    expected = np.sum(values * weights * mask) / mask.sum()
    ours = SpecialistKL(GROUPS)(teacher, masked, weights)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    teacher, student = (
        tf.cast(random((5,), width, 100.0, seed), dtype)
        for seed, width in enumerate((WIDTH, CLASSES))
    )
    rounded = [tf.cast(z, "float64").numpy() for z in (teacher, student)]
    expected, _ = value_and_gradient(*rounded, 4.0)
    values = SpecialistKL(GROUPS, reduction=None)(teacher, student)
    assert values.dtype == "float32"
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_unknown_batch_size(jit_compile):
    """In a graph, of no example too: an empty batch counts 0."""
    loss = SpecialistKL(GROUPS)
    spec = [tf.TensorSpec((None, width)) for width in (WIDTH, CLASSES)]
    function = tf.function(lambda t, s: loss(t, s), spec, jit_compile=jit_compile)
    teacher, student = random((5,), WIDTH, 2.0), random((5,), CLASSES, 2.0, 1)
    np.testing.assert_allclose(function(teacher, student), loss(teacher, student), rtol=1e-6)
    assert float(function(teacher[:0], student[:0])) == 0


def test_a_batch_that_is_another_is_refused():
    """One teacher row would broadcast over all examples."""
    loss = SpecialistKL(GROUPS)
    spec = [tf.TensorSpec((None, width)) for width in (WIDTH, CLASSES)]
    function = tf.function(lambda t, s: loss(t, s), spec)
    with pytest.raises(tf.errors.InvalidArgumentError):
        function(random((1,), WIDTH, 2.0), random((5,), CLASSES, 2.0))


def test_no_gradient_to_the_teachers():
    teacher, student = tf.Variable(random((5,), WIDTH, 2.0)), random((5,), CLASSES, 2.0)
    with tf.GradientTape() as tape:
        value = SpecialistKL(GROUPS)(teacher, tf.constant(student))
    assert tape.gradient(value, teacher) is None


def test_config():
    loss = SpecialistKL([(0, 1), range(2, 5)], temperature=2.0, name="of_two")
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == loss.get_config()
    assert again.classes == [[0, 1], [2, 3, 4]]


@pytest.mark.parametrize(
    "classes", [[], [[0]], [[0, 0]], [[0, -1]], [[0, 1.5]], [[0, 1], []], "ab", 3, [[True, False]]]
)
def test_bad_classes(classes):
    with pytest.raises(ValueError, match=r"classes must be a list .* Received: classes="):
        SpecialistKL(classes)


@pytest.mark.parametrize(
    ("teacher", "student"),
    [((5, 6), (5, 6)), ((5, 7), (5, 4)), ((5, 7), (4, 6)), ((5, 2, 7), (5, 6)), ((7,), (6,))],
)
def test_bad_shapes(teacher, student):
    """Of a class that the student lacks, TensorFlow on a GPU would take 0 without a word."""
    with pytest.raises(ValueError, match=r"SpecialistKL with these classes .* Received: teacher"):
        SpecialistKL(GROUPS)(np.zeros(teacher), np.zeros(student))


def test_probabilities_are_refused():
    with pytest.raises(ValueError, match="SpecialistKL needs logits"):
        SpecialistKL([[0, 1]], student_from_logits=False)(np.zeros((2, 2)), np.zeros((2, 2)))
