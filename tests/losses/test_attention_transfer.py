"""Attention transfer between feature maps against a float64 oracle."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform

from keras_distill import Objective
from keras_distill.losses import AttentionTransfer


def attention_transfer(teacher, student, power=2.0):
    """One example at a time; the gradient by the chain rule through map, norm and power."""
    values, gradients = [], []
    for t, s in zip(teacher.astype("float64"), student.astype("float64")):
        t_map, s_map = (np.sum(np.abs(z) ** power, axis=-1).ravel() for z in (t, s))
        t_norm, s_norm = np.linalg.norm(t_map), np.linalg.norm(s_map)
        t_map, s_map = t_map / (t_norm or 1), s_map / (s_norm or 1)
        values.append(np.sum((t_map - s_map) ** 2))
        # Of 2 - 2 cos, as both have length 1.
        by_map = -2 * (t_map - s_map * (s_map @ t_map)) / (s_norm or 1)
        by_map = by_map.reshape(s.shape[:-1])[..., None]
        gradients.append(by_map * power * np.abs(s) ** (power - 1) * np.sign(s))
    return np.array(values), np.array(gradients)


def maps(limit=5.0, positions=(3, 4), teacher_channels=6, channels=2):
    teacher, _ = uniform(limit, (3, *positions, teacher_channels))
    return teacher, uniform(limit, (3, *positions, channels), seed=1)[0]


@pytest.mark.parametrize("limit", [5.0, 1000.0])
@pytest.mark.parametrize("power", [1, 2, 2.5, 4])
def test_value_and_gradient_are_exact(power, limit):
    """Any number of channels on each side; 1000^4 squared is no float32."""
    teacher, student = maps(limit)
    expected, expected_gradient = attention_transfer(teacher, student, power)
    values, gradient = run(AttentionTransfer(power, reduction=None), teacher, student)
    assert values.shape == (3,)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 2e-6


@pytest.mark.parametrize("positions", [(7,), (2, 3, 2)])
def test_other_numbers_of_axes(positions):
    """Sequences and volumes: the norm goes over all positions."""
    teacher, student = maps(positions=positions)
    values, gradient = run(AttentionTransfer(reduction=None), teacher, student)
    expected, expected_gradient = attention_transfer(teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 2e-6


def test_scale_sign_and_order_of_channels_do_not_matter():
    """What the paper's normalisation is for."""
    teacher, student = maps()
    loss = AttentionTransfer(reduction=None)
    expected = loss(teacher, student)
    for other in (1e-20 * student, 1e15 * student, -student, student[..., ::-1]):
        np.testing.assert_allclose(loss(teacher, other), expected, rtol=1e-5)


def test_student_equal_to_teacher():
    """A rest of the gradient would drive a perfect student away."""
    teacher, _ = maps()
    values, gradient = run(AttentionTransfer(reduction=None), teacher, tf.constant(teacher))
    assert not np.any(values)
    assert not np.any(gradient)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize(
    ("zero", "expected"), [("teacher", 1.0), ("student", 1.0), ("both", 0.0)], ids=str
)
def test_map_of_zeros(zero, expected, power):
    """Dead ReLUs: 0 / 0 would turn every weight into NaN."""
    teacher, student = maps()
    if zero != "student":
        teacher[0] = 0
    if zero != "teacher":
        student[0] = 0
    values, gradient = run(AttentionTransfer(power, reduction=None), teacher, student)
    assert float(values[0]) == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(gradient).all()
    if zero != "teacher":
        assert not np.any(gradient[0])
    assert np.any(gradient[1])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    """1000^2 is inf in float16."""
    teacher, student = (tf.cast(z, dtype) for z in maps(1000.0))
    exact = [tf.cast(z, "float32").numpy() for z in (teacher, student)]
    expected, _ = attention_transfer(*exact)
    values, gradient = run(AttentionTransfer(reduction=None), teacher, 0.001 * student)
    small = attention_transfer(exact[0], tf.cast(0.001 * student, "float32").numpy())
    assert norm_error(values, small[0]) < 1e-6
    assert norm_error(gradient, small[1]) < 1e-2
    values, gradient = run(AttentionTransfer(reduction=None), teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert np.isfinite(tf.cast(gradient, "float32")).all()


def test_masked_positions_are_left_out():
    """Of a text: padding must not be where the attention is, in either model."""
    teacher, student = maps(positions=(5,))
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], bool)
    masked = tf.constant(student)
    masked._keras_mask = tf.constant(mask)
    values = AttentionTransfer(reduction=None)(teacher, masked)
    for i, kept in enumerate(mask):
        alone, _ = attention_transfer(teacher[i : i + 1, kept], student[i : i + 1, kept])
        assert float(values[i]) == pytest.approx(alone[0], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_sample_weights_in_an_objective(shape):
    """A weight per example, not one that meets the channels or positions."""
    teacher, student = maps()
    weights = np.array([0.5, 1.0, 2.0])
    objective = Objective(AttentionTransfer(), teacher_layer="t", student_layer="s")
    value = objective(teacher, student, sample_weight=weights.reshape(shape))
    expected = np.mean(attention_transfer(teacher, student)[0] * weights)
    assert float(value) == pytest.approx(expected, rel=1e-6)


def test_teacher_gets_no_gradient():
    teacher, student = map(tf.Variable, maps())
    with tf.GradientTape() as tape:
        value = AttentionTransfer()(teacher, student)
    gradients = tape.gradient(value, [teacher, student])
    assert gradients[0] is None
    assert np.any(gradients[1])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graphs(jit_compile):
    """Unknown sizes, XLA, an empty batch, and 1 example against 3."""
    teacher, student = maps()
    specs = [tf.TensorSpec([None, None, None, z.shape[-1]]) for z in (teacher, student)]
    traced = tf.function(
        lambda t, s: run(AttentionTransfer(), t, s), input_signature=specs, jit_compile=jit_compile
    )
    value, gradient = traced(teacher, student)
    expected, expected_gradient = attention_transfer(teacher, student)
    assert float(value) == pytest.approx(np.mean(expected), rel=1e-6)
    assert norm_error(gradient, expected_gradient / 3) < 2e-6
    value, gradient = traced(teacher[:0], student[:0])
    assert float(value) == 0
    assert gradient.shape == (0, 3, 4, 2)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        traced(teacher[:1], student)


@pytest.mark.parametrize(
    ("teacher", "student"),
    [((2, 4, 4, 8), (2, 2, 2, 8)), ((2, 1, 1, 8), (2, 4, 4, 8)), ((2, 8), (2, 8))],
)
def test_other_positions(teacher, student):
    """1 against 16 positions would broadcast to a wrong number; the message has the remedy."""
    with pytest.raises(ValueError, match=r"same positions.*keras\.layers\.Resizing") as error:
        AttentionTransfer()(np.ones(teacher), np.ones(student))
    assert f"Received: teacher {teacher}, student {student}" in str(error.value)


def test_the_remedy_works():
    """The projector that the message advises."""
    teacher, student = maps(positions=(4, 4))[0], maps(positions=(2, 2))[1]
    resizing = keras.layers.Resizing(4, 4)
    objective = Objective(
        AttentionTransfer(), teacher_layer="t", student_layer="s", projector=resizing
    )
    expected, _ = attention_transfer(teacher, np.asarray(resizing(student)))
    assert float(objective(teacher, student)) == pytest.approx(np.mean(expected), rel=1e-6)


@pytest.mark.parametrize("power", [0.5, 0, -1, float("nan"), float("inf"), "2", None, True])
def test_power_out_of_range(power):
    """Below 1 the gradient at 0 is infinite."""
    with pytest.raises(ValueError, match=r"power must be a finite number >= 1\. Received: power="):
        AttentionTransfer(power)


def test_config_round_trip():
    loss = AttentionTransfer(power=4, reduction="sum", name="mine", dtype="float64")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.get_config() == loss.get_config()
    assert float(restored(*maps())) == float(loss(*maps()))
