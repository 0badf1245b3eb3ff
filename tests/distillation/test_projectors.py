"""The projector that "auto" stands for: a convolution, a Dense layer, or none."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_distill import Objective
from keras_distill.distillation.projectors import auto_projector
from keras_distill.losses import FeatureMSE

layers = keras.layers


def features(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def regressor(student, kernel, bias):
    """The convolution of the paper in loops: each output sees as many inputs as the kernel."""
    student, kernel = np.asarray(student, "float64"), np.asarray(kernel, "float64")
    height, width = (student.shape[i] - kernel.shape[i - 1] + 1 for i in (1, 2))
    outputs = np.zeros((len(student), height, width, kernel.shape[-1]))
    for row in range(height):
        for column in range(width):
            seen = student[:, row : row + kernel.shape[0], column : column + kernel.shape[1]]
            outputs[:, row, column] = np.einsum("bijc,ijco->bo", seen, kernel) + bias
    return outputs


@pytest.mark.parametrize(
    ("teacher_size", "student_size", "kernel_size"),
    [((4, 4), (8, 8), (5, 5)), ((4, 5), (8, 6), (5, 2)), ((1, 3), (2, 3), (2, 1))],
)
def test_regressor_of_a_larger_map(teacher_size, student_size, kernel_size):
    """Padding or a bend would make it another map than the paper's."""
    teacher, student = features(2, *teacher_size, 7), features(2, *student_size, 3, seed=1)
    hint = Objective(FeatureMSE(), teacher_layer="a", student_layer="a", projector="auto")
    hint(teacher, student)
    kernel, bias = hint.trainable_weights
    assert kernel.shape == (*kernel_size, 3, 7)
    bias.assign(np.arange(7.0))
    expected = np.mean((regressor(student, kernel, bias.numpy()) - teacher.numpy()) ** 2)
    assert float(hint(teacher, student)) == pytest.approx(expected, rel=1e-5)


def test_larger_map_of_the_same_width():
    """The widths alone do not tell that a projector is needed."""
    assert isinstance(auto_projector((None, 4, 4, 3), (None, 5, 5, 3)), layers.Conv2D)


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        ((None, 8), (None, 6)),
        ((None, 5, 8), (None, 5, 6)),
        ((None, 5, 8), (None, 7, 6)),
        ((None, 4, 4, 8), (None, 4, 4, 6)),
        ((None, 4, 4, 8), (None, 2, 2, 6)),
        ((None, 4, 4, 8), (None, 5, 3, 6)),
        ((None, None, 4, 8), (None, 5, 5, 6)),
    ],
)
def test_dense_elsewhere(teacher, student):
    """The tokens of a longer text are no larger image; a smaller image cannot be convolved."""
    projector = auto_projector(teacher, student)
    assert isinstance(projector, layers.Dense)
    assert projector.units == 8


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        ((None, 8), (None, 8)),
        ((None, 4, 4, 8), (None, 4, 4, 8)),
        ((None, 4, 4, 8), (None, 2, 2, 8)),
    ],
)
def test_none_for_equal_widths(teacher, student):
    """What needs no projector must not learn one."""
    assert auto_projector(teacher, student) is None


@pytest.mark.parametrize(
    ("student", "remedy"), [((2, 8, 8, 3), 'Use projector="auto"'), ((2, 2, 2, 3), "Resizing")]
)
def test_remedy_without_a_projector(student, remedy):
    """ "auto" is named only where it helps."""
    with pytest.raises(ValueError, match="they must be equal") as error:
        Objective(FeatureMSE(), teacher_layer="a", student_layer="a")(
            features(2, 4, 4, 7), features(*student)
        )
    assert remedy in str(error.value)


def test_round_trip():
    """A reloaded Distiller goes on with the regressor that it has trained."""
    teacher, student = features(2, 4, 4, 7), features(2, 8, 8, 3, seed=1)
    hint = Objective(FeatureMSE(), teacher_layer="a", student_layer="a", projector="auto")
    expected = hint(teacher, student)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(hint)))
    restored = keras.saving.deserialize_keras_object(config)
    restored.set_weights(hint.get_weights())
    assert float(restored(teacher, student)) == float(expected)


def test_batch_normalization_in_a_connector():
    """In inference mode it would never normalise, and its statistics would stay 0 and 1."""
    connector = keras.Sequential([layers.Conv2D(7, 1, use_bias=False), layers.BatchNormalization()])
    teacher, student = features(8, 4, 4, 7), 5 + features(8, 4, 4, 3, seed=1)
    hint = Objective(FeatureMSE(), teacher_layer="a", student_layer="a", projector=connector)
    hint.build((8, 4, 4, 7), (8, 4, 4, 3))
    normalization = connector.layers[1]
    hint(teacher, student)
    assert not np.any(normalization.moving_mean)
    value = hint(teacher, student, training=True)
    assert np.all(normalization.moving_mean.numpy() != 0)
    mapped = connector.layers[0](student).numpy()
    normal = (mapped - mapped.mean((0, 1, 2))) / np.sqrt(mapped.var((0, 1, 2)) + 1e-3)
    assert float(value) == pytest.approx(np.mean((normal - teacher.numpy()) ** 2), rel=1e-4)
