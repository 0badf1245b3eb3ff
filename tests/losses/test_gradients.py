"""The losses on input gradients against closed forms, and the directions that they ask for."""

import json

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform

from keras_distill import losses


def sobolev(teacher, student):
    difference = np.asarray(student, "float64") - np.asarray(teacher, "float64")
    squares = np.square(difference).reshape(*difference.shape[:2], -1)
    return squares.sum(-1).mean(-1), 2 * difference / difference.shape[1]


def jacobian_matching(teacher, student):
    flat = (np.reshape(z, (*z.shape[:2], -1)) for z in (teacher, student))
    values, gradient = oracles.cosine(*flat)
    num_directions = student.shape[1]
    return 2 * values.mean(-1), 2 * gradient.reshape(student.shape) / num_directions


def gradient_norm(teacher, student):
    return sobolev(np.zeros_like(student), student)


ORACLES = {
    losses.Sobolev: sobolev,
    losses.JacobianMatching: jacobian_matching,
    losses.GradientNorm: gradient_norm,
}

every_loss = pytest.mark.parametrize("loss_class", ORACLES)


@pytest.mark.parametrize("shape", [(8, 1, 5), (4, 3, 2, 3, 2)])
@pytest.mark.parametrize("limit", [5.0, 50.0, 1000.0])
@every_loss
def test_value_and_gradient_are_exact(loss_class, limit, shape):
    """A mean over the inputs or a sum over the directions would change every weight."""
    teacher, student = uniform(limit, shape)
    expected, expected_gradient = ORACLES[loss_class](teacher, student)
    values, gradient = run(loss_class(reduction=None), teacher, student)
    assert values.shape == shape[:1]
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_loss
def test_half_precision_gradients(loss_class, dtype):
    """(1000)^2 is inf in float16."""
    teacher, student = (tf.cast(z, dtype) for z in uniform(1000.0, (8, 2, 5)))
    exact = [tf.cast(z, "float64").numpy() for z in (teacher, student)]
    expected, _ = ORACLES[loss_class](*exact)
    values, gradient = run(loss_class(reduction=None), teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    assert gradient.dtype == dtype


@every_loss
def test_compiled_by_xla_for_any_batch_size(loss_class):
    """The same number where XLA fuses the operations and fit() knows no batch size."""
    spec = tf.TensorSpec((None, 2, 3, 2))
    loss = loss_class(reduction=None)
    compiled = tf.function(
        lambda t, s: run(loss, t, s), input_signature=[spec, spec], jit_compile=True
    )
    teacher, student = uniform(5.0, (4, 2, 3, 2))
    expected, expected_gradient = ORACLES[loss_class](teacher, student)
    values, gradient = compiled(teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


@every_loss
def test_empty_batch_counts_zero(loss_class):
    """A replica gets one if the last batch is smaller than the number of replicas."""
    spec = tf.TensorSpec((None, 2, 3))
    loss = loss_class()
    traced = tf.function(lambda t, s: run(loss, t, s), input_signature=[spec, spec])
    value, gradient = traced(tf.zeros((0, 2, 3)), tf.zeros((0, 2, 3)))
    assert float(value) == 0
    assert gradient.shape == (0, 2, 3)


@every_loss
def test_sample_weights(loss_class):
    """One for each example, whatever the shape of the inputs."""
    teacher, student = uniform(5.0, (3, 2, 2, 2))
    values, _ = ORACLES[loss_class](teacher, student)
    weights = np.array([0.5, 0.0, 2.0])
    actual = loss_class()(teacher, student, weights)
    assert float(actual) == pytest.approx(np.mean(values * weights), rel=1e-6)


@every_loss
def test_no_gradient_to_the_teacher(loss_class):
    """It would train the teacher's input gradients, where they are no constants."""
    teacher, student = map(tf.constant, uniform(5.0, (3, 2, 4)))
    with tf.GradientTape() as tape:
        tape.watch(teacher)
        value = loss_class()(teacher, student)
    assert tape.gradient(value, teacher) is None


@pytest.mark.parametrize("loss_class", [losses.Sobolev, losses.JacobianMatching])
def test_zero_for_equal_gradients(loss_class):
    """A student that is the teacher has nothing to learn."""
    teacher, _ = uniform(50.0, (8, 2, 5))
    value, gradient = run(loss_class(), teacher, teacher)
    assert float(value) == 0
    assert not np.any(gradient)


def test_jacobian_matching_is_blind_to_lengths():
    """The paper divides by the norms: a student of small logits has small gradients."""
    teacher, student = uniform(5.0, (8, 1, 5))
    loss = losses.JacobianMatching(reduction=None)
    scaled = loss(teacher * np.float32(1e-20), student * np.float32(1e20))
    np.testing.assert_allclose(scaled, loss(teacher, student), rtol=1e-5)


def test_jacobian_matching_of_zeros():
    """An example for which every ReLU is off: 0 / 0 would turn every weight into NaN."""
    zeros, other = np.zeros((1, 1, 3), "float32"), np.ones((1, 1, 3), "float32")
    for teacher, student, expected in [(zeros, other, 1), (other, zeros, 1), (zeros, zeros, 0)]:
        value, gradient = run(losses.JacobianMatching(), teacher, student)
        assert float(value) == pytest.approx(expected, rel=1e-6)
        assert np.isfinite(gradient).all()
        if student is zeros:
            assert not np.any(gradient)


@every_loss
def test_outputs_are_no_gradients(loss_class):
    """Given outputs, it would compare those, and nobody would notice."""
    with pytest.raises(
        ValueError, match=r"compares input gradients.*Objective.*Received: \(4, 3\)"
    ):
        loss_class()(np.ones((4, 3)), np.ones((4, 3)))


@every_loss
def test_nothing_is_broadcast(loss_class):
    """A gray image against a coloured one would give a number, and a wrong one."""
    with pytest.raises(ValueError, match="read inputs of one shape") as error:
        loss_class()(np.ones((2, 1, 4, 4, 1)), np.ones((2, 1, 4, 4, 3)))
    assert "teacher (2, 1, 4, 4, 1), student (2, 1, 4, 4, 3)" in str(error.value)


class TestDirections:
    @pytest.mark.parametrize("loss_class", [losses.Sobolev, losses.GradientNorm])
    def test_random_ones_are_uniform_on_the_sphere(self, loss_class):
        """Only then is their mean the Frobenius norm of the Jacobian."""
        loss = loss_class(num_projections=20_000, seed=1)
        (directions,) = loss.directions(tf.zeros((1, 3))).numpy().astype("float64")
        np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1, rtol=1e-6)
        np.testing.assert_allclose(directions.mean(0), 0, atol=0.02)
        covariance = directions.T @ directions / len(directions)
        np.testing.assert_allclose(covariance, np.eye(3) / 3, atol=0.02)

    def test_each_example_and_step_has_its_own(self):
        """One direction for ever would leave the others untrained."""
        loss = losses.Sobolev(num_projections=2, seed=1)
        drawn = np.concatenate([loss.directions(tf.zeros((3, 4))) for _ in range(2)])
        vectors = drawn.reshape(-1, 4)
        assert len(np.unique(vectors, axis=0)) == 12
        again = losses.Sobolev(num_projections=2, seed=1).directions(tf.zeros((3, 4)))
        np.testing.assert_array_equal(again, drawn[:3])

    def test_steps_of_a_copy_count(self):
        """The Distiller copies losses for a batch: one that starts anew repeats its directions."""
        loss = losses.Sobolev(seed=1)
        first = loss.for_batch().directions(tf.zeros((1, 3)))
        assert not np.allclose(first, loss.for_batch().directions(tf.zeros((1, 3))))

    def test_whole_jacobian(self):
        """Each output once, also of a map."""
        directions = losses.Sobolev(num_projections=None).directions(tf.zeros((2, 2, 3)))
        assert directions.shape == (2, 6, 2, 3)
        for example in np.reshape(directions, (2, 6, 6)):
            np.testing.assert_array_equal(example, np.eye(6))

    def test_what_the_teacher_likes_best(self):
        """By its own argmax, not the labels, and not that of another example."""
        outputs = tf.constant([[1.0, 3.0, 2.0], [-1.0, -2.0, -3.0]])
        directions = losses.JacobianMatching().directions(outputs)
        np.testing.assert_array_equal(directions, [[[0, 1, 0]], [[1, 0, 0]]])
        in_maps = losses.JacobianMatching().directions(tf.reshape(outputs, (1, 2, 3, 1)))
        assert in_maps.shape == (1, 1, 2, 3, 1)
        assert in_maps[0, 0, 0, 1, 0] == 1
        assert np.sum(in_maps) == 1

    @pytest.mark.parametrize("num_projections", [2, None])
    def test_any_batch_size(self, num_projections):
        """fit() knows none; a replica may get an empty batch."""
        loss = losses.Sobolev(num_projections=num_projections)
        directions = tf.function(loss.directions, input_signature=[tf.TensorSpec((None, 3))])
        for batch_size in (0, 1, 5):
            shape = (batch_size, num_projections or 3, 3)
            assert directions(tf.zeros((batch_size, 3))).shape == shape

    def test_unknown_number_of_outputs(self):
        """Random directions can do without."""
        spec = tf.TensorSpec((None, None, 3))
        outputs = tf.zeros((2, 4, 3))
        random = tf.function(losses.Sobolev().directions, input_signature=[spec])
        assert random(outputs).shape == (2, 1, 4, 3)
        assert np.sum(np.square(random(outputs))) == pytest.approx(2)
        best = tf.function(losses.JacobianMatching().directions, input_signature=[spec])
        assert np.sum(best(outputs)) == 2
        whole = tf.function(losses.Sobolev(None).directions, input_signature=[spec])
        with pytest.raises(ValueError, match=r"num_projections=None.*Received.*\(None, None, 3\)"):
            whole(outputs)


@pytest.mark.parametrize("num_projections", [0, -1, 1.5, True, "all"])
def test_bad_num_projections(num_projections):
    """No projection would be a loss of NaN, the mean of nothing."""
    for loss_class in (losses.Sobolev, losses.GradientNorm):
        with pytest.raises(ValueError, match=r"num_projections must be an integer.*Received"):
            loss_class(num_projections)


def test_bad_paths():
    """An index is no path."""
    with pytest.raises(ValueError, match=r"teacher_inputs must be the path.*Received.*3"):
        losses.Sobolev(teacher_inputs=3)
    with pytest.raises(ValueError, match=r"student_inputs must be the path.*Received.*''"):
        losses.JacobianMatching(student_inputs="")


@pytest.mark.parametrize(
    "loss",
    [
        losses.Sobolev(
            3,
            seed=7,
            teacher_inputs="embedding",
            student_inputs="embed",
            reduction="sum",
            name="sob",
            dtype="float64",
        ),
        losses.JacobianMatching(
            teacher_inputs="embedding",
            student_inputs="embed",
            reduction="sum",
            name="jac",
            dtype="float64",
        ),
        losses.GradientNorm(
            None, seed=7, student_inputs="embed", reduction="sum", name="norm", dtype="float64"
        ),
    ],
)
def test_config(loss):
    """Every argument comes back from JSON, or a reloaded Distiller has another loss."""
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == loss.get_config()
    for name in ("num_projections", "seed", "teacher_inputs", "student_inputs", "dtype"):
        assert getattr(again, name, None) == getattr(loss, name, None)
