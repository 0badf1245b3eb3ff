"""The regression with a bound against its formula, place by place."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform

from keras_distill import Distiller
from keras_distill.losses import BoundedRegression
from keras_distill.losses import SoftTargetKL


def expected_of(teacher, student, labels, margin=0.0):
    """Values, and the gradient of their sum, in float64."""
    values, gradient = np.zeros(student.shape[:-1]), np.zeros(student.shape)
    for place in np.ndindex(values.shape):
        t, s, y = (np.asarray(z[place], "float64") for z in (teacher, student, labels))
        if np.mean((s - y) ** 2) + margin > np.mean((t - y) ** 2):
            values[place] = np.mean((s - y) ** 2)
            gradient[place] = 2 * (s - y) / len(y)
    return values, gradient


def boxes(limit=5.0, shape=(6, 7, 4), dtype="float32"):
    """Teacher, student and labels."""
    return (*uniform(limit, shape, dtype), uniform(limit, shape, dtype, seed=1)[0])


@pytest.mark.parametrize("limit", [5.0, 50.0, 1000.0])
@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_value_and_gradient_are_exact(limit, margin):
    """A comparison the wrong way round would stop those that are worse than the teacher."""
    teacher, student, labels = boxes(limit)
    margin *= limit**2
    expected, expected_gradient = expected_of(teacher, student, labels, margin)
    assert 0.1 < np.mean(expected == 0) < 0.6
    loss = BoundedRegression(margin, reduction=None).for_batch(labels=labels)
    values, gradient = run(loss, teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6
    np.testing.assert_array_equal(values == 0, expected == 0)


def test_margin_is_what_the_student_must_be_better_by():
    """The paper's bound: within the margin the student still learns."""
    labels, teacher = np.zeros((3, 1)), np.full((3, 1), 2.0)
    student = np.array([[1.0], [1.8], [2.2]])
    for margin, expected in ((0.0, [0, 0, 4.84]), (1.0, [0, 3.24, 4.84]), (3.5, [1, 3.24, 4.84])):
        loss = BoundedRegression(margin, reduction=None).for_batch(labels=labels)
        np.testing.assert_allclose(loss(teacher, student), expected, rtol=1e-6)


def test_a_student_that_is_its_teacher_learns_nothing():
    """Without a margin the bound is reached; what is right needs no bound."""
    teacher, _, labels = boxes()
    loss = BoundedRegression(reduction=None).for_batch(labels=labels)
    for student, taught in ((teacher, teacher), (labels, teacher), (labels, labels)):
        values, gradient = run(loss, taught, student)
        assert not np.any(values)
        assert not np.any(gradient)


def test_weights_and_masks_leave_places_out():
    """An anchor without a box has labels that mean nothing."""
    teacher, student, labels = boxes()
    weights = np.arange(42.0).reshape(6, 7) % 3
    expected, _ = expected_of(teacher, student, labels)
    loss = BoundedRegression().for_batch(labels=labels)
    assert float(loss(teacher, student, weights)) == pytest.approx(
        np.mean(weights * expected), rel=1e-6
    )
    masked = tf.convert_to_tensor(student)
    masked._keras_mask = tf.constant(weights > 0)
    assert float(loss(teacher, masked)) == pytest.approx(np.mean(expected[weights > 0]), rel=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    """The square of 1000 is inf in float16."""
    teacher, student, labels = (tf.cast(z, dtype) for z in boxes(1000.0))
    expected, _ = expected_of(*(tf.cast(z, "float64").numpy() for z in (teacher, student, labels)))
    loss = BoundedRegression(reduction=None).for_batch(labels=labels)
    values, gradient = run(loss, teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    assert gradient.dtype == dtype


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_function_of_any_batch(jit_compile):
    """As fit() traces it; an empty batch counts 0, and labels of one example never broadcast."""
    loss, spec = BoundedRegression(), tf.TensorSpec((None, None, 4))

    @tf.function(input_signature=[spec] * 3, jit_compile=jit_compile)
    def traced(teacher, student, labels):
        return run(loss.for_batch(labels=labels), teacher, student)

    teacher, student, labels = boxes()
    expected, expected_gradient = expected_of(teacher, student, labels)
    value, gradient = traced(teacher, student, labels)
    assert float(value) == pytest.approx(np.mean(expected), rel=1e-6)
    assert norm_error(gradient, expected_gradient / expected.size) < 1e-6
    empty = np.zeros((0, 7, 4), "float32")
    assert float(traced(empty, empty, empty)[0]) == 0
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        traced(teacher, student, labels[:1])


def test_teacher_gets_no_gradient():
    """It is the bound, and a bound that moves is none."""
    teacher, student, labels = map(tf.Variable, boxes())
    with tf.GradientTape() as tape:
        value = BoundedRegression().for_batch(labels=labels)(teacher, student)
    assert tape.gradient(value, teacher) is None


@pytest.mark.long
def test_trains_an_output_of_a_distiller():
    """With the labels and the weights of its own output, among several, after reloading, too."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 5)).astype("float32")
    y = {"boxes": rng.normal(size=(16, 3, 4)).astype("float32"), "classes": np.arange(16) % 2}
    weights = {"boxes": np.ones((16, 3), "float32"), "classes": np.ones(16, "float32")}
    weights["boxes"][:, 1] = 0
    weights["classes"][:] = 0

    def model(name):
        inputs = keras.Input((5,))
        found = keras.layers.Reshape((3, 4))(keras.layers.Dense(12)(inputs))
        outputs = {"boxes": found, "classes": keras.layers.Dense(2)(inputs)}
        return keras.Model(inputs, outputs, name=name)

    teacher, student = model("teacher"), model("student")
    taught, learnt = (m.predict(x, verbose=0)["boxes"] for m in (teacher, student))
    soft_loss = {"boxes": BoundedRegression(0.5), "classes": SoftTargetKL()}
    distiller = Distiller(student=student, teacher=teacher, alpha=0, soft_loss=soft_loss)
    distiller = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(keras.saving.serialize_keras_object(distiller)))
    )
    distiller.student.set_weights(student.get_weights())
    distiller.teacher = teacher
    distiller.compile(keras.optimizers.SGD(0.0))
    history = distiller.fit(x, y, sample_weight=weights, batch_size=16, verbose=0).history
    expected, _ = expected_of(taught, learnt, y["boxes"], margin=0.5)
    expected = np.mean(expected * weights["boxes"])
    assert history["soft_loss"] == [pytest.approx(expected, rel=1e-5)]


class TestBadInput:
    @pytest.mark.parametrize("margin", [-0.1, np.inf, np.nan, "1", None, True])
    def test_margin(self, margin):
        """A negative one would let the student stay worse than its teacher."""
        with pytest.raises(ValueError, match=r"margin must be a finite number >= 0. Received: m"):
            BoundedRegression(margin)

    def test_no_labels(self):
        """Nobody would say why a None cannot be subtracted."""
        with pytest.raises(ValueError, match=r"BoundedRegression needs the labels .* Received"):
            BoundedRegression()(np.ones((2, 4)), np.ones((2, 4)))

    @pytest.mark.parametrize("shape", [(2, 5, 4), (2, 3), (1, 3, 4), (2, 3, 1)])
    def test_labels_of_another_shape(self, shape):
        """They would broadcast."""
        loss = BoundedRegression().for_batch(labels=np.ones(shape))
        with pytest.raises(ValueError, match=r"needs labels of the student's shape. Received"):
            loss(np.ones((2, 3, 4)), np.ones((2, 3, 4)))

    def test_shapes(self):
        """Anchors of two detectors that differ have nothing to say to one another."""
        loss = BoundedRegression().for_batch(labels=np.ones((2, 3, 4)))
        with pytest.raises(ValueError, match=r"same values for the same places, such as anchors"):
            loss(np.ones((2, 5, 4)), np.ones((2, 3, 4)))
