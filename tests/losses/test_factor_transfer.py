"""Factor transfer: the paraphraser by itself, and the loss against its formula."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import uniform
from trained import batch_normalised
from trained import convolution
from trained import run_oracle
from trained import run_trained

from keras_distill import Distiller
from keras_distill import Objective
from keras_distill.losses import FactorTransfer
from keras_distill.losses import paraphraser

TEACHER, STUDENT = (3, 5, 4, 6), (3, 5, 4, 2)


def features(limit, seed=0):
    return uniform(limit, TEACHER, seed=seed)[0], uniform(limit, STUDENT, seed=seed + 1)[0]


def moved_paraphraser():
    """With statistics that are not those of a new one."""
    model = paraphraser(6)
    for index, weight in enumerate(model.weights):
        if "seed" not in weight.path:
            weight.assign(uniform(0.5, weight.shape, seed=index)[0] + 0.7)
    return model


def built(**settings):
    loss = FactorTransfer(moved_paraphraser(), reduction=None, **settings)
    loss(np.zeros(TEACHER), np.zeros(STUDENT))
    for index, weight in enumerate(loss.translator.trainable_weights):
        weight.assign(uniform(0.5, weight.shape, seed=index)[1] + 0.1)
    return loss


def leaky(x):
    return tf.maximum(x, 0.1 * x)


def of_length_one(factors):
    lengths = tf.sqrt(tf.reduce_sum(factors**2, axis=(1, 2, 3), keepdims=True))
    return factors / lengths


def factor_difference(model, p):
    """From the paraphraser's weights and, for the translator, the given ones."""
    taught = [
        [tf.constant(weight.numpy(), "float64") for weight in layer.weights]
        for layer in model.layers
        if layer.weights
    ]

    def oracle(teacher, student, weights):
        for (kernel,), (gamma, beta, mean, variance) in zip(taught[:6:2], taught[1:6:2]):
            normal = (convolution(teacher, kernel) - mean) / tf.sqrt(variance + 1e-5)
            teacher = leaky(gamma * normal + beta)
        for kernel, gamma, beta in zip(weights[::3], weights[1::3], weights[2::3]):
            student = leaky(batch_normalised(convolution(student, kernel), gamma, beta))
        difference = of_length_one(teacher) - of_length_one(student)
        return tf.reduce_mean(tf.abs(difference) ** p, axis=-1)

    return oracle


@pytest.mark.long_but_first
@pytest.mark.parametrize("limit", [5.0, 1000.0])
@pytest.mark.parametrize("p", [1, 2])
def test_value_and_gradients_are_exact(p, limit):
    """By student and translator; the paraphraser normalises by what it was trained on."""
    teacher, student = features(limit)
    loss = built(p=p)
    oracle = factor_difference(loss.paraphraser, p)
    expected = run_oracle(oracle, loss.translator, teacher, student)
    values, by_student, by_part = run_trained(loss, loss.translator, teacher, student)
    assert values.shape == TEACHER[:3]
    assert norm_error(values, expected[0]) < 2e-6
    assert norm_error(by_student, expected[1]) < 2e-5
    for actual, exact in zip(by_part, expected[2]):
        assert norm_error(actual, exact) < 2e-5


def test_what_the_paper_says_of_length():
    """Factors of length one: a translator's scale does not matter."""
    teacher, student = features(5.0)
    loss = built()
    values = loss(teacher, student)
    *_, gamma, beta = loss.translator.trainable_weights
    for weight in (gamma, beta):
        weight.assign(3.0 * weight)
    np.testing.assert_allclose(loss(teacher, student), values, rtol=1e-5)


def test_equal_factors_cost_nothing():
    """Zero in value and gradient once the translator is the paraphraser."""
    teacher, _ = features(5.0)
    loss = FactorTransfer(moved_paraphraser(), p=2, reduction=None)
    loss(teacher, teacher)
    for layer, trained in zip(loss.translator.blocks, loss.paraphraser.layers[-9:]):
        layer.set_weights(trained.get_weights())
    values, by_student, by_part = run_trained(
        loss, loss.translator, teacher, teacher, training=False
    )
    assert not np.any(values)
    for gradient in (by_student, *by_part):
        assert not np.any(gradient)


def test_factor_of_zeros():
    """A length of 0: 0 / 0 would turn every weight into NaN."""
    loss = FactorTransfer(paraphraser(6), reduction=None)
    student = np.zeros(STUDENT, "float32")
    loss(features(5.0)[0], student)
    results = run_trained(loss, loss.translator, features(5.0)[0], student, training=False)
    assert all(np.isfinite(result).all() for result in tf.nest.flatten(results))


@pytest.mark.long
def test_paraphraser_is_an_autoencoder():
    """Plain fit on features teaches it; its factor is narrower than they are."""
    x = np.random.default_rng(0).normal(size=(64, 4, 4, 2)).astype("float32")
    x = np.maximum(x @ np.random.default_rng(1).normal(size=(2, 8)).astype("float32"), 0)
    model = paraphraser(8, rate=0.5)
    assert model.get_layer("factor").output.shape == (None, None, None, 4)
    assert model.outputs[0].shape == (None, None, None, 8)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    losses = model.fit(x, x, epochs=6, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.long
def test_trained_paraphraser_stays_and_is_saved(tmp_path):
    """Trained on, it would meet the translator at nothing; a new one would be noise."""
    inputs = keras.Input((4, 4, 3))
    hidden = keras.layers.Conv2D(6, 1, name="hint")(inputs)
    teacher = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(hidden))
    inputs = keras.Input((4, 4, 3))
    hidden = keras.layers.Conv2D(2, 1, name="hint")(inputs)
    student = keras.Sequential(
        [keras.Model(inputs, hidden), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(6)]
    )
    num_weights = len(student.weights)
    model = moved_paraphraser()
    model.compile("adam", "mse")
    expected = [weight.numpy() for weight in model.weights]
    objective = Objective(FactorTransfer(model), teacher_layer="hint", student_layer="hint")
    distiller = Distiller(student=student, teacher=teacher, alpha=0.0, objectives=[objective])
    distiller.compile(keras.optimizers.AdamW(0.1, weight_decay=0.1), run_eagerly=True)
    distiller.fit(uniform(1.0, (8, 4, 4, 3))[0], batch_size=4, verbose=0)
    assert model.trainable
    for weight, value in zip(model.weights, expected):
        np.testing.assert_array_equal(weight, value)
    distiller.save(tmp_path / "distiller.keras")
    reloaded = keras.models.load_model(tmp_path / "distiller.keras")
    restored = reloaded.objectives[0].loss.paraphraser
    assert not restored.trainable_weights
    frozen = [
        w.numpy() for w in keras.Model(model.inputs, model.get_layer("factor").output).weights
    ]
    for kept in (objective.loss.paraphraser, restored):
        assert len(kept.weights) == len(frozen)
        for weight, value in zip(kept.weights, frozen):
            np.testing.assert_array_equal(weight, value)
    assert len(reloaded.student.weights) == len(distiller.student.weights) == num_weights


@pytest.mark.parametrize(
    "model",
    [
        None,
        "paraphraser",
        keras.Sequential([keras.layers.Conv2D(4, 3, name="factor")]),
        keras.Sequential([keras.Input((4, 4, 6)), keras.layers.Conv2D(4, 3)]),
        keras.layers.Conv2D(4, 3, name="factor"),
    ],
    ids=["none", "text", "not built", "no factor", "layer"],
)
def test_what_is_no_paraphraser(model):
    """One without weights would paraphrase into noise."""
    with pytest.raises(ValueError, match=r"paraphraser must be a built keras\.Model with a layer"):
        FactorTransfer(model)


def test_features_that_do_not_fit():
    """Before any training, with the remedy."""
    loss = FactorTransfer(paraphraser(6))
    with pytest.raises(ValueError, match=r"a paraphraser of 6 channels, teacher \(2, 4, 4, 5\)"):
        loss(np.ones((2, 4, 4, 5)), np.ones((2, 4, 4, 3)))
    for teacher, student in (((2, 4, 4, 6), (2, 2, 2, 6)), ((2, 6), (2, 6))):
        with pytest.raises(ValueError, match=r"images of features of one size.*Resizing"):
            loss(np.ones(teacher), np.ones(student))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels must be an integer of 1 or more"),
        ({"channels": 4, "rate": 0}, r"rate must be a rate in \(0, 1\].*Received: rate=0"),
        ({"channels": 4, "rate": 1.5}, r"rate must be a rate in \(0, 1\]"),
    ],
)
def test_bad_arguments_of_the_paraphraser(arguments, message):
    """A factor without channels has nothing to teach."""
    with pytest.raises(ValueError, match=message):
        paraphraser(**arguments)


def test_bad_p():
    """Other norms are none of the paper's."""
    with pytest.raises(ValueError, match=r"p must be 1 or 2\. Received: p=3"):
        FactorTransfer(paraphraser(6), p=3)
