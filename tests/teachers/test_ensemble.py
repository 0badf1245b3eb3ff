import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import keras_distill as kd
from keras_distill.teachers import Ensemble


def mixture(logits, weights, temperatures):
    """Oracle: the mixed probabilities, in float64."""
    probabilities = [
        scipy.special.softmax(np.float64(z) / t, -1) for z, t in zip(logits, temperatures)
    ]
    return np.average(probabilities, axis=0, weights=weights)


def random_logits(count, scale, shape=(7, 5)):
    return [np.random.default_rng(i).normal(size=shape, scale=scale) for i in range(count)]


def constant(logits):
    return lambda x: tf.constant(logits)


@pytest.mark.parametrize("scale", [1.0, 20.0])
@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5)])
def test_output_is_the_log_of_the_mixed_probabilities(scale, shape):
    logits = random_logits(3, scale, shape)
    ensemble = Ensemble(
        [constant(z) for z in logits], weights=[1, 2, 5], temperatures=[0.5, 1.0, 4.0]
    )
    output = ensemble(np.zeros((7, 1))).numpy()
    expected = mixture(logits, [1, 2, 5], [0.5, 1.0, 4.0])
    np.testing.assert_allclose(output, np.log(expected), rtol=1e-12)


def test_extreme_logits_give_finite_log_probabilities():
    logits = [np.array([[1000.0, -1000.0, 0.0]]), np.array([[-1000.0, 900.0, 0.0]])]
    output = Ensemble([constant(z) for z in logits])(np.zeros((1, 1))).numpy()
    np.testing.assert_allclose(output[0, :2], np.log(0.5), rtol=1e-12)
    assert np.isfinite(output).all()


def test_a_teacher_of_weight_0_counts_for_nothing():
    logits = random_logits(2, 3.0)
    output = Ensemble([constant(z) for z in logits], weights=[1, 0])(np.zeros((7, 1))).numpy()
    np.testing.assert_allclose(output, scipy.special.log_softmax(logits[0], -1), rtol=1e-12)


def test_half_precision_teachers_are_mixed_in_float32():
    logits = tf.constant([[60000.0, 0.0]], tf.float16)
    output = Ensemble([lambda x: logits, lambda x: logits])(np.zeros((1, 1)))
    assert output.dtype == "float32"
    np.testing.assert_allclose(output, [[0.0, -60000.0]], rtol=1e-3)


def test_teachers_with_inputs_of_their_own():
    texts = tf.constant(["a", "ccc"])
    first = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    second = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])

    def lengths(texts):
        return tf.cast(tf.strings.length(texts), "float32")[:, None]

    ensemble = Ensemble(
        [first, second],
        preprocessors=[lengths, lambda texts: tf.tile(lengths(texts), [1, 2])],
    )
    x = np.array([[1.0], [3.0]], "float32")
    logits = [first(x).numpy(), second(np.tile(x, [1, 2])).numpy()]
    expected = mixture(logits, [1, 1], [1, 1])
    np.testing.assert_allclose(np.exp(ensemble(texts)), expected, rtol=1e-5)


def dense(units=3):
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(units)]
    )


def test_teachers_run_in_inference_mode():
    ensemble = Ensemble([dense(), dense()])
    x = np.ones((5, 4), "float32")
    np.testing.assert_array_equal(ensemble(x, training=True), ensemble(x, training=False))


def test_it_teaches_in_a_distiller():
    student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    ensemble = Ensemble([dense(), dense()], weights=[2, 1])
    before = [w.numpy() for w in ensemble.weights]
    distiller = kd.Distiller(student=student, teacher=ensemble, alpha=0.0)
    distiller.compile(keras.optimizers.Adam(0.05))
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    history = distiller.fit(x, epochs=15, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    for weight, value in zip(ensemble.weights, before):
        np.testing.assert_array_equal(weight, value)


def test_saved_and_loaded_it_mixes_alike(tmp_path):
    ensemble = Ensemble([dense(), dense()], weights=[3, 1], temperatures=[2.0, 1.0], confidence=2.5)
    x = np.ones((5, 4), "float32")
    output = ensemble(x)
    ensemble.save(tmp_path / "ensemble.keras")
    loaded = keras.models.load_model(tmp_path / "ensemble.keras")
    np.testing.assert_allclose(loaded(x), output, rtol=1e-6)


@pytest.mark.parametrize("confidence", [0.5, 3.0, 1000.0])
@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5)])
def test_confidence_weighs_each_example(confidence, shape):
    """Weights of the batch as a whole, or of the sharpest class, would mix just as smoothly."""
    logits = random_logits(3, 3.0, shape)
    weights, temperatures = [1.0, 2.0, 5.0], [0.5, 1.0, 2.0]
    ensemble = Ensemble(
        [constant(z) for z in logits], weights, temperatures=temperatures, confidence=confidence
    )
    p = np.stack([scipy.special.softmax(z / t, -1) for z, t in zip(logits, temperatures)])
    entropies = scipy.stats.entropy(p, axis=-1)
    by_hand = np.array(weights)[(..., *[None] * len(shape[:-1]))] * np.exp(
        -confidence * (entropies - entropies.min(0))
    )
    expected = np.sum(by_hand[..., None] * p, 0) / by_hand.sum(0)[..., None]
    np.testing.assert_allclose(ensemble(np.zeros((7, 1))), np.log(expected), rtol=1e-9)


def test_confidence_0_mixes_as_ever():
    """An old ensemble, saved without the setting, must teach what it taught."""
    logits = random_logits(2, 3.0)
    outputs = [
        Ensemble([constant(z) for z in logits], weights=[1, 3], **settings)(np.zeros((7, 1)))
        for settings in ({}, {"confidence": 0.0}, {"confidence": 1e-9})
    ]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_allclose(outputs[0], outputs[2], rtol=1e-7)


def test_the_confidence_of_a_teacher_that_rules_classes_out():
    """0 * log 0 is NaN, and would spread over all teachers."""
    logits = [np.array([[0.0, 0.0, -np.inf]]), np.array([[5000.0, 0.0, -5000.0]])]
    output = Ensemble([constant(z) for z in logits], confidence=1.0)(np.zeros((1, 1))).numpy()
    # Entropies log 2 and 0: weights 1/3 and 2/3.
    np.testing.assert_allclose(np.exp(output), [[5 / 6, 1 / 6, 0.0]], rtol=1e-12)


def test_a_teacher_of_weight_0_counts_for_nothing_however_sure():
    logits = [np.array([[2.0, 1.0]]), np.array([[0.0, 50.0]])]
    ensemble = Ensemble([constant(z) for z in logits], weights=[1, 0], confidence=10.0)
    expected = scipy.special.log_softmax(logits[0], -1)
    np.testing.assert_allclose(ensemble(np.zeros((1, 1))), expected, rtol=1e-12)


def test_a_teacher_that_ends_in_a_softmax():
    """Taken for logits, its probabilities would be mixed almost evenly."""
    hidden = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    ends_in_softmax = keras.Sequential([hidden, keras.layers.Softmax()])
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    other = dense()
    np.testing.assert_allclose(
        Ensemble([ends_in_softmax, other])(x), Ensemble([hidden, other])(x), rtol=1e-5
    )


def test_teachers_of_different_classes_are_refused():
    with pytest.raises(ValueError, match=r"one shape.*\(2, 3\) from the first, \(2, 4\)"):
        Ensemble([dense(3), dense(4)])(np.ones((2, 4), "float32"))


@pytest.mark.parametrize(
    ("activation", "message"),
    [("sigmoid", r"teachers\[1\] must give logits.*a sigmoid"), ("relu", r"another activation")],
)
def test_teachers_without_logits(activation, message):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation)])
    with pytest.raises(ValueError, match=message):
        Ensemble([dense(3), model])(np.ones((2, 4), "float32"))


def test_probabilities_of_a_function():
    """Taken for logits they would make every mixture flat, and nothing behind would see it."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    teacher = Ensemble([dense(3), lambda x: model(x)])
    distiller = kd.Distiller(student=dense(3), teacher=teacher, alpha=0.0)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"teachers\[1\] gives what looks like probabilities"):
        distiller.fit(x, verbose=0)
    of_logs = Ensemble([dense(3), lambda x: keras.ops.log(model(x))])
    assert np.isfinite(of_logs(x)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"teachers": []}, "at least one"),
        ({"teachers": ["bert"]}, "list of models or functions"),
        ({"weights": [1.0]}, "weights must be a list of 2 numbers"),
        ({"weights": [1.0, -1.0]}, r"weights\[1\] must be a finite number >= 0"),
        ({"weights": [0, 0]}, "not all be 0"),
        ({"temperatures": [1.0, 0.0]}, r"temperatures\[1\] must be a positive finite number"),
        (
            {"temperatures": [1.0, float("nan")]},
            r"temperatures\[1\] must be a positive finite number",
        ),
        ({"confidence": -1.0}, "confidence must be a finite number >= 0"),
        ({"confidence": float("inf")}, "confidence must be a finite number >= 0"),
        ({"preprocessors": [None]}, "one entry per teacher, 2. Received: 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Ensemble(**{"teachers": [dense(), dense()], **arguments})
