"""Losses in float64 round nothing to float32: as where float64 is Keras's floatx."""

import keras
import numpy as np
import pytest

from keras_distill import losses

RNG = np.random.default_rng(0)
LOGITS = [3 * RNG.normal(size=(6, 4)) for _ in range(2)]
MAPS = [RNG.normal(size=(6, 3, 3, 4)) for _ in range(2)]
ATTENTION = [x / x.sum(axis=-1, keepdims=True) for x in RNG.uniform(size=(2, 3, 2, 5, 5))]
# Numbers that float32 does not have.
CASES = {
    "SoftTargetKL": (lambda **k: losses.SoftTargetKL(3.3, **k), LOGITS),
    "SoftTargetKL standardized": (
        lambda **k: losses.SoftTargetKL(3.3, standardized=True, **k),
        LOGITS,
    ),
    "BinarySoftTargets": (lambda **k: losses.BinarySoftTargets(3.3, **k), LOGITS),
    "ClassWeightedSoftTargets": (
        lambda **k: losses.ClassWeightedSoftTargets([0.1, 0.7, 1.3, 0.9], temperature=3.3, **k),
        LOGITS,
    ),
    "DIST": (lambda **k: losses.DIST(inter_weight=0.3, temperature=3.3, **k), LOGITS),
    "DKD": (
        lambda **k: losses.DKD(
            target_weight=0.1, nontarget_weight=0.7, temperature=3.3, **k
        ).for_batch(np.arange(6) % 4),
        LOGITS,
    ),
    "SpecialistKL": (
        lambda **k: losses.SpecialistKL([[0, 1], [3, 2]], temperature=3.3, **k),
        LOGITS,
    ),
    "LogitsMSE": (losses.LogitsMSE, LOGITS),
    "SoftDarkRank": (lambda **k: losses.SoftDarkRank(**k), LOGITS),
    "RKDDistance": (losses.RKDDistance, LOGITS),
    "RKDAngle": (losses.RKDAngle, LOGITS),
    "CorrelationCongruence": (lambda **k: losses.CorrelationCongruence(gamma=0.3, **k), LOGITS),
    "ProbabilisticTransfer": (losses.ProbabilisticTransfer, LOGITS),
    "AttentionTransfer": (lambda **k: losses.AttentionTransfer(1.7, **k), MAPS),
    "NeuronSelectivity": (losses.NeuronSelectivity, MAPS),
    "FeatureOverhaul": (lambda **k: losses.FeatureOverhaul([-0.1, -0.3, -0.7, -0.9], **k), MAPS),
    "ActivationBoundaries": (lambda **k: losses.ActivationBoundaries(margin=0.7, **k), MAPS),
    "VariationalInformation": (lambda **k: losses.VariationalInformation(0.7, **k), MAPS),
    "FeatureCosine": (losses.FeatureCosine, MAPS),
    "SimilarityPreserving": (losses.SimilarityPreserving, MAPS),
    "AttentionMSE": (losses.AttentionMSE, ATTENTION),
    "AttentionKL": (losses.AttentionKL, ATTENTION),
    "AttentionRelationKL": (losses.AttentionRelationKL, ATTENTION),
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_rounded_to_float32(name):
    make, (teacher, student) = CASES[name]
    value = make(dtype="float64")(teacher, student)
    assert keras.backend.standardize_dtype(value.dtype) == "float64"
    keras.config.set_floatx("float64")
    try:
        expected = make()(teacher, student)
    finally:
        keras.config.set_floatx("float32")
    np.testing.assert_allclose(value, expected, rtol=1e-13)


def test_temperature_and_weights_against_numpy():
    """Where Keras's floatx is no oracle: by the formula."""
    teacher, student = LOGITS
    log_p, log_q = (
        z / 3.3 - np.log(np.sum(np.exp(z / 3.3), axis=-1, keepdims=True)) for z in LOGITS
    )
    p = np.exp(log_p)
    expected = 3.3**2 * np.mean(np.sum(p * (log_p - log_q), axis=-1))
    actual = losses.SoftTargetKL(3.3, dtype="float64")(teacher, student)
    np.testing.assert_allclose(actual, expected, rtol=1e-13)
    weights = np.array([0.1, 0.7, 1.3, 0.9])
    expected = -(3.3**2) * np.mean(np.sum(weights * p * log_q, axis=-1))
    loss = losses.ClassWeightedSoftTargets(weights, temperature=3.3, dtype="float64")
    np.testing.assert_allclose(loss(teacher, student), expected, rtol=1e-13)


def test_the_global_policy_is_followed():
    keras.config.set_dtype_policy("float64")
    try:
        assert losses.SoftTargetKL().dtype == "float64"
    finally:
        keras.config.set_dtype_policy("float32")
    assert losses.SoftTargetKL().dtype == "float32"
