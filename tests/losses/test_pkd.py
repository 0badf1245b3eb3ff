"""Patient knowledge distillation against its formula in float64."""

import json

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform

from keras_distill import Objective
from keras_distill.losses import PKD

KEPT = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], bool)


def pkd(teacher, student):
    """The paper's squared distance, and twice the cosine's gradient."""
    a, b = (z.astype("float64") for z in (teacher, student))
    a, b = (z / np.linalg.norm(z, axis=-1, keepdims=True) for z in (a, b))
    return np.sum((a - b) ** 2, axis=-1), 2 * oracles.cosine(teacher, student)[1]


@pytest.mark.parametrize("limit", [5.0, 1000.0])
def test_each_token(limit):
    teacher, student = uniform(limit, (3, 5, 8))
    expected, expected_gradient = pkd(teacher, student)
    values, gradient = run(PKD(first_token=False, reduction=None), teacher, student)
    assert values.shape == (3, 5)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


def test_first_token():
    """The other tokens neither count nor get a gradient."""
    teacher, student = uniform(5.0, (3, 5, 8))
    expected, expected_gradient = pkd(teacher[:, 0], student[:, 0])
    values, gradient = run(PKD(reduction=None), teacher, student)
    assert norm_error(np.ravel(values), expected) < 1e-6
    assert norm_error(gradient[:, 0], expected_gradient) < 1e-6
    assert not np.any(gradient[:, 1:])
    assert float(PKD()(teacher, student)) == pytest.approx(expected.mean(), rel=1e-6)


@pytest.mark.parametrize("first_token", [True, False])
def test_student_equal_to_teacher(first_token):
    teacher, _ = uniform(5.0, (3, 5, 8))
    values, gradient = run(PKD(first_token), teacher, tf.constant(teacher))
    assert not np.any(values)
    assert not np.any(gradient)


@pytest.mark.parametrize("first_token", [True, False])
@pytest.mark.parametrize("shape", [None, (3,), (3, 5)])
def test_masks_and_weights_in_an_objective(first_token, shape):
    """The first token's mask and weight with the first token, not those of all."""
    teacher, student = uniform(5.0, (3, 5, 8))
    kept = KEPT & [[True], [True], [False]]
    masked = tf.constant(student)
    masked._keras_mask = tf.constant(kept)
    weights = None if shape is None else np.linspace(0.5, 2, np.prod(shape)).reshape(shape)
    value = Objective(PKD(first_token), teacher_layer="t", student_layer="s")(
        teacher, masked, sample_weight=weights
    )
    factors = np.ones((3, 5)) if weights is None else weights.reshape(3, -1) * np.ones((3, 5))
    expected = pkd(teacher, student)[0] * factors
    if first_token:
        expected, kept = expected[:, 0], kept[:, 0]
    assert float(value) == pytest.approx(np.mean(expected[kept]), rel=1e-6)


@pytest.mark.parametrize("weights", [[1.0, 0.5], [[1.0, 7.0, 7.0], [0.5, 7.0, 7.0]]])
def test_weights_in_lists(weights):
    """As for every Keras loss."""
    teacher, student = uniform(5.0, (2, 3, 8))
    expected = pkd(teacher, student)[0][:, 0] @ [1.0, 0.5] / 2
    assert float(PKD()(teacher, student, weights)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graphs(jit_compile):
    """Unknown sizes, XLA, and an empty batch."""
    spec = tf.TensorSpec([None, None, 8])
    traced = tf.function(
        lambda t, s: run(PKD(), t, s), input_signature=[spec, spec], jit_compile=jit_compile
    )
    teacher, student = uniform(5.0, (3, 5, 8))
    value, gradient = traced(teacher, student)
    assert float(value) == pytest.approx(pkd(teacher, student)[0][:, 0].mean(), rel=1e-6)
    assert norm_error(gradient[:, 0], pkd(teacher, student)[1][:, 0] / 3) < 1e-6
    value, gradient = traced(teacher[:0], student[:0])
    assert float(value) == 0
    assert gradient.shape == (0, 5, 8)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    teacher, student = (tf.cast(z, dtype) for z in uniform(1000.0, (3, 5, 8)))
    expected, _ = pkd(*(tf.cast(z, "float32").numpy() for z in (teacher, student)))
    values, _ = run(PKD(first_token=False, reduction=None), teacher, student)
    assert norm_error(values, expected) < 1e-6


def test_teacher_gets_no_gradient():
    teacher, student = map(tf.Variable, uniform(5.0, (3, 5, 8)))
    with tf.GradientTape() as tape:
        value = PKD()(teacher, student)
    assert tape.gradient(value, teacher) is None


@pytest.mark.parametrize("first_token", [True, False])
@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        ((3, 8), (3, 8), "compares hidden states, .*FeatureCosine"),
        ((3, 5, 8), (3, 5, 1), "of one shape.*projector"),
        ((3, 5, 8), (3, 7, 8), "of one shape"),
    ],
)
def test_other_shapes(teacher, student, message, first_token):
    """Of a pooled output the first token would be its first feature."""
    with pytest.raises(ValueError, match=message) as error:
        PKD(first_token)(np.ones(teacher), np.ones(student))
    assert f"Received: teacher {teacher}, student {student}" in str(error.value)


@pytest.mark.parametrize("first_token", [0, None, "first"])
def test_first_token_is_a_bool(first_token):
    with pytest.raises(ValueError, match=r"first_token must be True or False\. Received"):
        PKD(first_token)


def test_config_round_trip():
    loss = PKD(first_token=False, reduction="sum", name="mine", dtype="float64")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.get_config() == loss.get_config()
    assert float(restored(*uniform(5.0, (3, 5, 8)))) == float(loss(*uniform(5.0, (3, 5, 8))))
