"""Class-weighted soft targets against their formula."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import soft_target_cross_entropy
from oracles import uniform
from scipy.special import log_softmax

from keras_distill.losses import ClassWeightedSoftTargets

WEIGHTS = [1.5, 1.0, 0.0, 2.0]


def expected_of(teacher, student, weights, temperature):
    """Values, and the gradient of their sum, in float64."""
    log_p, log_q = (
        log_softmax(np.asarray(z, "float64") / temperature, axis=-1) for z in (teacher, student)
    )
    weighted = np.exp(log_p) * weights
    values = -(temperature**2) * np.sum(weighted * log_q, axis=-1)
    total = np.sum(weighted, axis=-1, keepdims=True)
    return values, temperature * (total * np.exp(log_q) - weighted)


@pytest.mark.parametrize("limit", [5.0, 50.0, 1000.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_value_and_gradient_are_exact(limit, temperature):
    """The weights do not sum to one: a gradient of q - w p would be wrong."""
    teacher, student = uniform(limit, (3, 5, 4))
    expected, expected_gradient = expected_of(teacher, student, WEIGHTS, temperature)
    loss = ClassWeightedSoftTargets(WEIGHTS, temperature=temperature, reduction=None)
    values, gradient = run(loss, teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


def test_equal_weights_are_the_usual_soft_targets():
    """The teacher's entropy is added, and a factor of all weights is one of the loss."""
    teacher, student = uniform(5.0, (6, 4))
    expected = soft_target_cross_entropy(teacher, student, 2.0)[0]
    for weight in (1, 3):
        loss = ClassWeightedSoftTargets([weight] * 4, temperature=2.0, reduction=None)
        np.testing.assert_allclose(loss(teacher, student), weight * expected, rtol=1e-6)


def test_fits_best_where_the_docs_say():
    """At the student in proportion to weight * p no gradient is left."""
    teacher, _ = uniform(5.0, (6, 4))
    weights = [1.5, 1.0, 1.0, 2.0]
    student = (teacher + np.log(weights)).astype("float32")
    _, gradient = run(ClassWeightedSoftTargets(weights), teacher, student)
    np.testing.assert_allclose(gradient, 0, atol=1e-7)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_function_of_any_batch(jit_compile):
    """As fit() traces it, in half precision, and an empty batch counts 0."""
    spec = tf.TensorSpec((None, 4), "float16")
    loss = ClassWeightedSoftTargets(WEIGHTS)
    traced = tf.function(
        lambda t, s: run(loss, t, s), input_signature=[spec, spec], jit_compile=jit_compile
    )
    teacher, student = uniform(1000.0, (8, 4), "float16")
    expected, expected_gradient = expected_of(teacher, student, WEIGHTS, 1.0)
    value, gradient = traced(teacher, student)
    assert float(value) == pytest.approx(np.mean(expected), rel=1e-6)
    assert norm_error(gradient, expected_gradient / 8) < 1e-3
    assert float(traced(teacher[:0], student[:0])[0]) == 0


def test_probabilities_and_sample_weights():
    """A detector may end in a softmax."""
    teacher, student = uniform(5.0, (6, 4))
    expected, _ = expected_of(teacher, student, WEIGHTS, 1.0)
    weights = np.arange(6.0)
    loss = ClassWeightedSoftTargets(WEIGHTS, teacher_from_logits=False)
    value = loss(tf.nn.softmax(tf.cast(teacher, "float64")), student, weights)
    assert float(value) == pytest.approx(np.mean(weights * expected), rel=1e-5)


def test_round_trip():
    """Weights that get lost train the usual soft targets."""
    loss = ClassWeightedSoftTargets(np.float32(WEIGHTS), temperature=2.0, standardized=True)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.get_config() == loss.get_config()
    assert restored.class_weights == WEIGHTS


@pytest.mark.parametrize(
    "class_weights",
    [
        None,
        1.0,
        [],
        [1.0],
        [0, 0],
        [1, -1],
        [1, np.nan],
        [1, np.inf],
        ["1", "2"],
        {0: 1.0},
        [[1, 1]],
    ],
)
def test_bad_weights(class_weights):
    """A dict as in fit() would be a number of its own."""
    with pytest.raises(ValueError, match=r"class_weights must be a list of finite .* Received: c"):
        ClassWeightedSoftTargets(class_weights)


def test_weights_of_other_classes():
    """One weight more or less would broadcast, or fail without a name."""
    with pytest.raises(ValueError, match=r"class_weights must be one for each class .* Received"):
        ClassWeightedSoftTargets(WEIGHTS)(np.ones((2, 3)), np.ones((2, 3)))
