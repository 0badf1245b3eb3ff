"""The soft losses on standard scores of the logits."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import soft_target_kl
from oracles import uniform
from scipy.stats import zscore

from keras_distill.losses import DIST
from keras_distill.losses import DKD
from keras_distill.losses import SoftTargetKL

LABELS = np.arange(12) % 5
MAKERS = {
    "SoftTargetKL": SoftTargetKL,
    "DKD": lambda temperature=4.0, **settings: DKD(temperature, **settings).for_batch(
        labels=LABELS
    ),
    "DIST": DIST,
}
every_loss = pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)


def standardized(maker, temperature=2.0, **settings):
    return maker(temperature, reduction=None, standardized=True, **settings)


def through_scores(gradient, student):
    """The chain rule of the standard scores, row by row."""
    rows = []
    for g, z in zip(gradient, np.float64(student)):
        centred = z - z.mean()
        deviation = np.sqrt(np.mean(centred**2))
        jacobian = (
            np.eye(len(z)) - 1 / len(z) - np.outer(centred, centred) / (len(z) * deviation**2)
        )
        rows.append(jacobian / deviation @ g)
    return np.array(rows)


@pytest.mark.parametrize("limit", [1e-3, 5.0, 1000.0])
def test_value_and_gradient_are_exact(limit):
    """scipy's z-scores are the oracle; T^2 stays, and the gradient goes through both moments."""
    teacher, student = uniform(limit, (12, 10))
    for temperature in (1.0, 2.0):
        scores = [zscore(np.float64(z), axis=-1) for z in (teacher, student)]
        expected, by_scores = soft_target_kl(*scores, temperature)
        values, gradient = run(standardized(SoftTargetKL, temperature), teacher, student)
        assert values.dtype == "float32"
        assert norm_error(values, expected) < 1e-6
        assert norm_error(gradient, through_scores(by_scores, student)) < 1e-6


@every_loss
def test_is_the_loss_of_the_standard_scores(maker):
    """A loss that forgets one side would still train, against scores of another size."""
    teacher, student = uniform(50.0, (12, 5))
    scores = [zscore(np.float64(z), axis=-1) for z in (teacher, student)]
    expected = maker(2.0, reduction=None, dtype="float64")(*scores)
    values = standardized(maker)(teacher, student)
    assert norm_error(values, expected.numpy()) < 1e-6


@every_loss
def test_scale_and_shift_of_the_logits_change_nothing(maker):
    """The paper's claim: the student need not reach the size of the teacher's logits."""
    # Multiples of 1/64, so that the shift itself does not round.
    teacher, student = np.round(uniform(5.0, (12, 5)) * 64) / 64
    values, gradient = run(standardized(maker), teacher, student)
    changed, changed_gradient = run(standardized(maker), 8 * teacher - 512, 4 * student + 256)
    np.testing.assert_allclose(changed, values, rtol=1e-6)
    np.testing.assert_allclose(4 * changed_gradient, gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["SoftTargetKL", "DKD", "DIST"])
def test_scaled_teacher_is_the_optimum(name):
    """A student of the same logits, twice as large and shifted, has arrived."""
    teacher = np.round(uniform(5.0, (12, 5))[0] * 64) / 64
    values, gradient = run(standardized(MAKERS[name]), teacher, 2 * teacher + 8)
    np.testing.assert_allclose(values, 0, atol=1e-12)
    np.testing.assert_allclose(gradient, 0, atol=1e-7)
    values, gradient = run(standardized(MAKERS[name]), teacher, teacher)
    assert not np.any(values)
    assert not np.any(gradient)


@every_loss
def test_logits_that_are_all_equal(maker):
    """A student whose last layer starts at zeros: 0 / 0, or no gradient that ever moves it."""
    teacher, _ = uniform(5.0, (12, 5))
    for constant in (0.0, 0.1, 1e4):
        student = np.full((12, 5), constant, "float32")
        values, gradient = run(standardized(maker), teacher, student)
        assert np.isfinite(values).all()
        assert np.isfinite(gradient).all()
        if maker is not DIST:
            assert np.abs(gradient).max() > 1e-2
        values, gradient = run(standardized(maker), student, teacher)
        assert np.isfinite(values).all()
        assert np.isfinite(gradient).all()


@every_loss
def test_probabilities_have_the_scores_of_their_logits(maker):
    """Standard scores of the probabilities themselves would be another loss."""
    teacher, student = uniform(3.0, (12, 5))
    settings = {"teacher_from_logits": False, "student_from_logits": False}
    values = standardized(maker, **settings)(*map(tf.nn.softmax, (teacher, student)))
    assert norm_error(values, standardized(maker)(teacher, student).numpy()) < 1e-5


def test_half_precision_xla_and_empty_batch():
    """Squares of float16 overflow; XLA has means of its own; 0 / 0 for no examples."""
    teacher, student = (tf.cast(z, "float16") for z in uniform(1000.0, (12, 5)))
    expected, _ = soft_target_kl(*(zscore(np.float64(z), axis=-1) for z in (teacher, student)), 2.0)
    values, gradient = run(standardized(SoftTargetKL), teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert gradient.dtype == "float16"
    specs = [tf.TensorSpec((None, 5), "float16")] * 2
    compiled = tf.function(SoftTargetKL(2.0, standardized=True), specs, jit_compile=True)
    assert float(compiled(teacher, student)) == pytest.approx(expected.mean(), rel=1e-6)
    assert float(compiled(teacher[:0], student[:0])) == 0


@every_loss
def test_round_trip(maker):
    """A reloaded loss on plain logits would train, and differently."""
    loss = standardized(maker)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.standardized is True
    assert restored.get_config() == loss.get_config()
    assert maker().standardized is False


@pytest.mark.parametrize("standardized", [1, None, "yes"])
def test_bad_flag(standardized):
    """A positional number that slipped in here would count as True."""
    with pytest.raises(ValueError, match="standardized must be True or False"):
        SoftTargetKL(standardized=standardized)
