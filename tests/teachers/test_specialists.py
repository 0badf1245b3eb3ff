"""Teachers of different classes, side by side."""

import keras
import numpy as np
import pytest

import keras_distill as kd
from keras_distill.teachers import Specialists

X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")


def dense(classes, *more):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(classes), *more])


def test_logits_stand_in_the_order_of_the_teachers():
    """In another order every teacher would teach the classes of another."""
    teachers = [dense(2), dense(3), lambda x: x[:, :2]]
    output = Specialists(teachers, [None, lambda x: -x, None])(X)
    expected = [teachers[0](X), teachers[1](-X), X[:, :2]]
    np.testing.assert_allclose(output, np.concatenate(expected, -1), rtol=1e-6)


def test_softmax_and_dropout():
    """A softmax is undone; a teacher teaches in inference mode."""
    logits = dense(2)
    ends_in_softmax = keras.Sequential([logits, keras.layers.Softmax()])
    with_dropout = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), dense(3)])
    output = Specialists([ends_in_softmax, with_dropout])(X, training=True)
    np.testing.assert_allclose(output[:, :2], keras.ops.log_softmax(logits(X)), rtol=1e-5)
    np.testing.assert_array_equal(output[:, 2:], with_dropout(X, training=False))


def test_saved_and_loaded(tmp_path):
    specialists = Specialists([dense(2), dense(3)])
    output = specialists(X)
    specialists.save(tmp_path / "specialists.keras")
    loaded = keras.models.load_model(tmp_path / "specialists.keras")
    np.testing.assert_allclose(loaded(X), output, rtol=1e-6)


@pytest.mark.long
def test_a_student_learns_the_classes_of_all():
    """Of teachers that share a class, without labels: the distribution that fits both."""
    teacher = dense(4)
    # Two specialists that know what one teacher of all classes says of theirs.
    groups = [[3, 0], [0, 1, 2]]
    specialists = Specialists(
        [lambda x, g=group: keras.ops.take(teacher(x), g, axis=-1) for group in groups]
    )
    student = dense(4)
    distiller = kd.Distiller(
        student=student,
        teacher=specialists,
        alpha=0.0,
        soft_loss=kd.losses.SpecialistKL(groups, temperature=1.0),
    )
    distiller.compile(keras.optimizers.Adam(0.1))
    history = distiller.fit(X, epochs=150, verbose=0).history
    assert history["soft_loss"][-1] < 1e-3 * history["soft_loss"][0]
    np.testing.assert_allclose(
        keras.ops.softmax(student(X)), keras.ops.softmax(teacher(X)), atol=0.03
    )


def test_teachers_that_give_probabilities_are_refused():
    """A function's last layer cannot be seen: its probabilities would be taken for logits."""
    specialists = Specialists([lambda x: keras.ops.softmax(x)] * 2)
    loss = kd.losses.SpecialistKL([[0, 1, 2, 3], [3, 2, 1, 0]])
    distiller = kd.Distiller(student=dense(4), teacher=specialists, alpha=0.0, soft_loss=loss)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match="looks like probabilities"):
        distiller.fit(X, verbose=0)


def test_bad_teachers():
    with pytest.raises(ValueError, match="at least one"):
        Specialists([])
