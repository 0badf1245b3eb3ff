"""What is recorded of a teacher's data, against NumPy in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill.teaching import ActivationStatistics
from keras_distill.teaching import record_statistics

RNG = np.random.default_rng(4)
# Far from 0: sums of squares alone would cancel out.
X = (RNG.normal(size=(50, 6, 6, 1)) + 30).astype("float32")
Y = RNG.choice([0, 1, 3], size=50)
TAPS = ["conv", "hidden", "output"]


@pytest.fixture(scope="module")
def teacher():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(2, 3, name="conv"),
            layers.Flatten(),
            layers.Dense(5, "relu", name="hidden"),
            layers.Dropout(0.5),
            layers.Dense(4, name="logits"),
        ]
    )


def batches(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(8)


def activations(teacher):
    parts = [teacher.get_layer(name).output for name in ("conv", "hidden", "logits")]
    outputs = keras.Model(teacher.inputs, parts).predict(X, verbose=0)
    return dict(zip(TAPS, (a.reshape(len(X), -1).astype("float64") for a in outputs)))


def test_means_and_covariances(teacher):
    """Batches that mix, classes that mix, float32 sums, and dropout would all show here."""
    before = [weight.copy() for weight in teacher.get_weights()]
    statistics = record_statistics(teacher, batches(X, Y), TAPS, max_covariance_width=10)
    np.testing.assert_array_equal(statistics.counts, np.bincount(Y))
    for tap, values in activations(teacher).items():
        scale = np.abs(values).max()
        assert statistics.lowest[tap] == pytest.approx(values.min(), rel=1e-6)
        for group in (0, 1, 3):
            of_group = values[group == Y]
            mean = statistics.means[tap][group]
            np.testing.assert_allclose(mean, of_group.mean(axis=0), rtol=1e-6, atol=1e-6 * scale)
            expected = np.cov(of_group.T, ddof=0)
            if tap == "conv":  # 32 wide: the variances.
                expected = np.diag(expected)
            found = statistics.covariances[tap][group]
            assert found.shape == expected.shape
            assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)
    assert statistics.lowest["hidden"] >= 0
    expected = {"mean": X.mean(), "deviation": X.std(), "lowest": X.min(), "highest": X.max()}
    assert statistics.inputs == pytest.approx(expected, rel=1e-5)
    for weight, old in zip(teacher.get_weights(), before):
        np.testing.assert_array_equal(weight, old)


def test_data_of_float64_is_not_changed(teacher):
    """Sums that shift the batch in place would change the user's data, or fail on them."""
    x = X.astype("float64")
    statistics = record_statistics(teacher, batches(x, Y), ["output"])
    np.testing.assert_array_equal(x, X)
    assert statistics.inputs["mean"] == pytest.approx(X.mean(), rel=1e-6)


def test_without_classes(teacher):
    """One group for all must not be that of the last batch."""
    statistics = record_statistics(teacher, batches(X), ["hidden"], by_class=False)
    values = activations(teacher)["hidden"]
    np.testing.assert_array_equal(statistics.counts, [50])
    np.testing.assert_allclose(statistics.means["hidden"], [values.mean(axis=0)], atol=1e-4)
    expected = np.cov(values.T, ddof=0)
    np.testing.assert_allclose(statistics.covariances["hidden"], [expected], rtol=1e-4, atol=1e-4)


def test_the_file_has_the_statistics_and_no_example(teacher, tmp_path):
    """What is loaded must draw what was saved; an array of examples would be seen by its size."""
    statistics = record_statistics(teacher, batches(X, Y), TAPS)
    statistics.save(tmp_path / "statistics.npz")
    loaded = ActivationStatistics.load(tmp_path / "statistics.npz")
    assert loaded.taps == TAPS
    loaded.check_teacher(teacher)
    groups = np.array([0, 1, 3, 3])
    drawn = statistics.draw(groups, np.random.default_rng(1))
    for tap, values in loaded.draw(groups, np.random.default_rng(1)).items():
        np.testing.assert_array_equal(values, drawn[tap])
    assert vars(loaded).keys() == vars(statistics).keys()
    with np.load(tmp_path / "statistics.npz") as arrays:
        assert not any(array.shape[:1] == (len(X),) for array in arrays.values())


def test_what_is_drawn_has_the_statistics():
    """A root that is transposed would turn the covariance; a dead unit has no Cholesky factor."""
    mixing = RNG.normal(size=(3, 3)) * [1.0, 2.0, 0.0]
    covariance = mixing.T @ mixing
    mean = np.array([1.0, -2.0, 0.5])
    statistics = ActivationStatistics(
        np.array([9]), {"a": mean[None]}, {"a": covariance[None]}, {"a": -np.inf}, {}, None
    )
    drawn = statistics.draw(np.zeros(200_000, int), np.random.default_rng(0))["a"]
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.01 * covariance.max())
    statistics.lowest["a"] = 0.0
    assert statistics.draw(np.zeros(99, int), np.random.default_rng(0))["a"].min() == 0


def test_bad_input(teacher):
    """Statistics of nothing, or of the wrong classes, would only show in a bad student."""
    data = batches(X, Y)
    for arguments, message in [
        ((teacher, data, ["no_layer"]), "names no layer"),
        ((teacher, data, []), "taps must be a list"),
        ((teacher, data, "hidden"), "taps must be a list"),
        ((lambda x: x, data, TAPS), "teacher must be a keras.Model that is built"),
        ((teacher, batches(X), TAPS), "by_class needs the class of each example.* no y"),
        ((teacher, batches(X, Y / 2), TAPS), "by_class needs .* y of float64"),
        ((teacher, batches(X, Y - 1), TAPS), "by_class needs"),
        # Of which it took as much memory as that many classes have.
        ((teacher, batches(X, Y + 10**8), TAPS), "classes from 0 to 3: the teacher has 4 outputs"),
        ((teacher, batches({"x": X}, Y), TAPS), "dataset must have one tensor x"),
        ((teacher, data.take(0), TAPS), "dataset must have an example"),
        ((teacher, data.repeat(), TAPS), "dataset must be finite"),
        ((teacher, (X, Y), TAPS), r"dataset must be a batched tf\.data\.Dataset .* tuple"),
        ((teacher, batches(X * np.nan, Y), TAPS), "must be finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            record_statistics(*arguments)
    with pytest.raises(ValueError, match="max_covariance_width must be an integer"):
        record_statistics(teacher, data, TAPS, max_covariance_width=-1)
