"""Token-level distillation of a KerasHub causal model: every token counts, no padding does."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax
from small_gpt2 import make_model
from small_gpt2 import make_preprocessor

from keras_distill import Distiller

TEXTS = ["abc", "bcdefga", "h", "ab ab cd"]
TEMPERATURE = 2.0


def arrays():
    """Ids and padding mask, the next ids, and where these are no padding."""
    return keras.tree.map_structure(np.asarray, make_preprocessor()(TEXTS))


def distiller_of(alpha=0.0, **settings):
    teacher, student = make_model(16, num_layers=2, seed=1), make_model(8)
    distiller = Distiller(
        student=student, teacher=teacher, alpha=alpha, temperature=TEMPERATURE, **settings
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(0.1), loss=loss)
    return distiller


def fit(distiller, x, y, sample_weight):
    history = distiller.fit(
        x, y, sample_weight=sample_weight, batch_size=4, shuffle=False, verbose=0
    )
    return history.history


@pytest.mark.long
def test_loss_is_that_of_the_tokens():
    """KL of each next token, in float64, over the tokens that are no padding."""
    x, y, is_token = arrays()
    distiller = distiller_of(alpha=0.5)
    teacher, student = (
        log_softmax(np.float64(model(x)) / TEMPERATURE, axis=-1)
        for model in (distiller.teacher, distiller.student)
    )
    values = TEMPERATURE**2 * np.sum(np.exp(teacher) * (teacher - student), axis=-1)
    assert 0.2 < is_token.mean() < 0.6
    history = fit(distiller, x, y, is_token)
    # Keras's mean of weighted values is over all places, those of weight 0, too.
    assert history["soft_loss"] == [pytest.approx(np.mean(values * is_token), rel=1e-5)]


@pytest.mark.long
def test_padding_teaches_nothing():
    """Else most of what a student learns of short texts is what comes behind them."""
    x, y, is_token = arrays()
    weights = []
    for padding in (0, 5):
        # Where neither the token nor the next one belongs to the text.
        ids = np.where(x["padding_mask"], x["token_ids"], padding)
        labels = np.where(is_token, y, padding)
        distiller = distiller_of(alpha=0.5)
        before = distiller.student.get_weights()
        fit(distiller, {**x, "token_ids": ids}, labels, is_token)
        weights.append(distiller.student.get_weights())
    for first, second in zip(*weights):
        np.testing.assert_allclose(first, second, rtol=1e-6, atol=1e-7)
    assert any(np.any(first != start) for first, start in zip(weights[0], before))


@pytest.mark.long
def test_the_student_stays_a_keras_hub_model(tmp_path):
    """It writes texts, and is saved without a trace of the teacher."""
    distiller = distiller_of()
    x, y, is_token = arrays()
    losses = [fit(distiller, x, y, is_token)["soft_loss"][0] for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]
    distiller.student.save(tmp_path / "student.keras")
    student = keras.models.load_model(tmp_path / "student.keras", compile=False)
    np.testing.assert_array_equal(student(x), distiller.student(x))
    student.compile(sampler="greedy")
    distiller.student.compile(sampler="greedy")
    assert student.generate(["ab"]) == distiller.student.generate(["ab"])
