"""Pixel-wise distillation: the soft loss and the labels at each pixel, but for those left out."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from keras_distill import Distiller
from keras_distill.losses import SoftTargetKL

NUM_CLASSES = 3
IGNORED = 255


def encoder_decoder(width, name):
    inputs = keras.Input((8, 8, 1))
    fine = keras.layers.Conv2D(width, 3, padding="same", activation="relu")(inputs)
    coarse = keras.layers.Conv2D(width, 3, 2, padding="same", activation="relu")(fine)
    x = keras.layers.Concatenate()([keras.layers.UpSampling2D()(coarse), fine])
    return keras.Model(inputs, keras.layers.Conv2D(NUM_CLASSES, 1)(x), name=name)


def data():
    """Images, a class for each pixel, and weights that leave two thirds of a row out."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 8, 8, 1)).astype("float32")
    weights = np.ones((6, 8, 8), "float32")
    weights[:, :3] = 0
    return x, (x[..., 0] > 0).astype("int32"), weights


def distiller_of(alpha=0.5, loss=None, **settings):
    keras.utils.set_random_seed(0)
    distiller = Distiller(
        student=encoder_decoder(2, "student"),
        teacher=encoder_decoder(4, "teacher"),
        alpha=alpha,
        temperature=None if "soft_loss" in settings else 2.0,
        **settings,
    )
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(0.1), loss=loss)
    return distiller


def fit(distiller, x, y, weights=None):
    history = distiller.fit(x, y, sample_weight=weights, batch_size=6, shuffle=False, verbose=0)
    return history.history


def divergences(distiller, x):
    """KL at each pixel, in float64."""
    log_p, log_q = (
        log_softmax(np.float64(model(x)) / 2.0, axis=-1)
        for model in (distiller.teacher, distiller.student)
    )
    return 4.0 * np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)


@pytest.mark.long_but_first
@pytest.mark.parametrize("is_mean_of_kept", [False, True])
def test_soft_loss_is_that_of_the_pixels(is_mean_of_kept):
    """A softmax over positions, or a mean over images first, would be another loss."""
    x, y, weights = data()
    reduction = "mean_with_sample_weight" if is_mean_of_kept else "sum_over_batch_size"
    distiller = distiller_of(soft_loss=SoftTargetKL(2.0, reduction=reduction))
    values = divergences(distiller, x)
    expected = np.mean(values[weights > 0]) if is_mean_of_kept else np.mean(values * weights)
    history = fit(distiller, x, y, weights)
    assert history["soft_loss"] == [pytest.approx(expected, rel=1e-5)]


@pytest.mark.long
def test_pixels_of_weight_zero_teach_nothing():
    """What is not annotated must not be learnt, neither from labels nor from the teacher."""
    x, y, weights = data()

    def trained(left_out):
        distiller = distiller_of()
        inner = distiller.teacher

        def teacher(images):
            # What it says there is something else, too.
            is_kept = weights[:1, ..., None]
            return inner(images) * is_kept + left_out * (1 - is_kept) * images

        distiller.teacher = teacher
        fit(distiller, x, np.where(weights > 0, y, left_out), weights)
        return distiller.student.get_weights()

    for first, second in zip(trained(0), trained(2)):
        np.testing.assert_allclose(first, second, rtol=1e-6, atol=1e-7)


def test_ignored_labels_leave_the_teacher():
    """y = 255 says that there is no label: the teacher still knows what is there."""
    x, y, weights = data()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORED)
    distiller = distiller_of(loss=loss)
    labels = np.where(weights > 0, y, IGNORED)
    log_q = log_softmax(np.float64(distiller.student(x)), axis=-1)
    cross_entropy = -np.take_along_axis(log_q, y[..., None], axis=-1)[..., 0]
    expected = np.mean(divergences(distiller, x))
    history = fit(distiller, x, labels)
    assert history["soft_loss"] == [pytest.approx(expected, rel=1e-5)]
    assert history["hard_loss"] == [pytest.approx(np.mean(cross_entropy[weights > 0]), rel=1e-5)]


@pytest.mark.long
def test_masks_are_weights():
    """y == 255 as a weight of 0 ignores these pixels in every term."""
    x, y, weights = data()
    labels = np.where(weights > 0, y, IGNORED)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORED)
    trained = [distiller_of(loss=loss), distiller_of()]
    histories = [
        fit(trained[0], x, labels, (labels != IGNORED).astype("float32")),
        fit(trained[1], x, y, weights),
    ]
    assert histories[0]["soft_loss"] == [pytest.approx(histories[1]["soft_loss"][0], rel=1e-6)]


@pytest.mark.long
def test_auxiliary_tasks_stay_behind():
    """What is predicted in between helps to train; the student to export has one output."""
    x, y, _ = data()

    def model(name):
        inputs = keras.Input((8, 8, 1))
        features = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
        depth = keras.layers.Conv2D(1, 1, name=f"{name}_depth")(features)
        both = keras.layers.Concatenate()([features, depth])
        classes = keras.layers.Conv2D(NUM_CLASSES, 1)(both)
        return keras.Model(inputs, {"classes": classes, "depth": depth}, name=name)

    keras.utils.set_random_seed(0)
    student, teacher = model("student"), model("teacher")
    soft_loss = {"classes": SoftTargetKL(2.0), "depth": keras.losses.MeanSquaredError()}
    distiller = Distiller(student=student, teacher=teacher, alpha=0.5, soft_loss=soft_loss)
    # The labels have no depth: of that, the teacher tells.
    loss = {"classes": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "depth": None}
    distiller.compile(keras.optimizers.Adam(0.01), loss=loss)
    labels = {"classes": y, "depth": np.zeros((*y.shape, 1), "float32")}
    before = keras.losses.MeanSquaredError()(teacher(x)["depth"], student(x)["depth"])
    history = distiller.fit(x, labels, epochs=20, verbose=0).history
    assert history["soft_loss"][-1] < history["soft_loss"][0]
    after = keras.losses.MeanSquaredError()(teacher(x)["depth"], student(x)["depth"])
    assert float(after) < 0.5 * float(before)
    exported = keras.Model(student.input, student.output["classes"])
    np.testing.assert_array_equal(exported(x), student(x)["classes"])
