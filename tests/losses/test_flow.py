"""FSP against its matrices, written in loops, and what leaves them as they are."""

import functools
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import uniform

from keras_distill import Objective
from keras_distill.losses import FSP


def windows(size, pooled_size):
    """The positions that each pooled one covers."""
    return [
        range(i * size // pooled_size, math.ceil((i + 1) * size / pooled_size))
        for i in range(pooled_size)
    ]


def pooled(features, height, width):
    """Maxima over windows, `(height * width, channels)`, and where each stands."""
    values, places = [], []
    for rows in windows(features.shape[0], height):
        for columns in windows(features.shape[1], width):
            for channel in range(features.shape[2]):
                covered = [(row, column, channel) for row in rows for column in columns]
                places.append(max(covered, key=lambda place: features[place]))
                values.append(features[places[-1]])
    return np.reshape(values, (height * width, -1)), places


def fsp(teacher, student):
    """Values, and the gradients by the student's two maps, in float64."""
    sides = [[np.asarray(maps, "float64") for maps in side] for side in (teacher, student)]
    values, gradients = [], [np.zeros(maps.shape) for maps in sides[1]]
    for example in range(len(sides[0][0])):
        flows = []
        for first, last in ([maps[example] for maps in side] for side in sides):
            size = [min(first.shape[axis], last.shape[axis]) for axis in (0, 1)]
            (first, first_places), (last, last_places) = (pooled(x, *size) for x in (first, last))
            flows.append(sum(np.outer(a, b) for a, b in zip(first, last)) / len(first))
        difference = flows[1] - flows[0]
        values.append(np.mean(difference**2))
        slope = 2 * difference / difference.size / len(first)
        for gradient, places, by_pooled in (
            (gradients[0], first_places, last @ slope.T),
            (gradients[1], last_places, first @ slope),
        ):
            for place, entry in zip(places, by_pooled.ravel()):
                gradient[(example, *place)] += entry
    return np.array(values), gradients


def run(teacher, student, loss=None):
    """The package's values and gradients, in the same form."""
    loss = loss or FSP(reduction=None)
    student = [tf.convert_to_tensor(maps) for maps in student]
    with tf.GradientTape() as tape:
        tape.watch(student)
        values = loss(teacher, student)
    return values, tape.gradient(values, student)


def in_a_function(teacher, student, loss=None, jit_compile=False):
    """`run` as fit() traces it, for any batch."""
    specs = [[tf.TensorSpec((None, *x.shape[1:])) for x in side] for side in (teacher, student)]
    traced = functools.partial(run, loss=loss)
    return tf.function(traced, input_signature=specs, jit_compile=jit_compile)


def features(limit=2.0, sizes=((4, 4), (4, 4)), batch=2, teacher_sizes=None):
    """Teacher's and student's maps of 3 and 5 channels."""
    lists = []
    for side, pair in enumerate((teacher_sizes or sizes, sizes)):
        lists.append(
            [
                uniform(limit, (batch, *size, channels), seed=seed)[side]
                for seed, (size, channels) in enumerate(zip(pair, (3, 5)))
            ]
        )
    return lists


SIZES = {
    "equal": ((4, 4), (4, 4)),
    "half": ((6, 4), (3, 2)),
    "any": ((7, 5), (4, 3)),
    "last is larger": ((2, 2), (4, 4)),
    "to one": ((4, 3), (1, 1)),
    "higher and narrower": ((5, 2), (2, 4)),
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("limit", [5.0, 50.0, 1000.0])
def test_value_and_gradient_are_exact(limit, sizes):
    """Channels of the first against those of the last: a mix-up of axes would learn noise."""
    teacher, student = features(limit, sizes, teacher_sizes=((3, 3), (3, 3)))
    expected, expected_gradients = fsp(teacher, student)
    values, gradients = run(teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    for gradient, expected_gradient in zip(gradients, expected_gradients):
        assert norm_error(gradient, expected_gradient) < 1e-6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    """The fourth power of 200 is inf in float16."""
    teacher, student = (
        [tf.cast(x, dtype) for x in side] for side in features(200.0, SIZES["half"])
    )
    expected, expected_gradients = fsp(
        *([tf.cast(x, "float64").numpy() for x in side] for side in (teacher, student))
    )
    values, gradients = run(teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    for gradient, expected_gradient in zip(gradients, expected_gradients):
        assert gradient.dtype == dtype
        if dtype == "bfloat16":  # In float16 they are infinite: a loss is scaled for that.
            assert norm_error(gradient, expected_gradient) < 4e-3


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_function_of_any_batch(jit_compile):
    """XLA fuses the operations, and drops assertions."""
    teacher, student = features(2.0, SIZES["any"])
    traced = in_a_function(teacher, student, jit_compile=jit_compile)
    expected, expected_gradients = fsp(teacher, student)
    values, gradients = traced(*([tf.constant(x) for x in side] for side in (teacher, student)))
    assert norm_error(values, expected) < 1e-6
    for gradient, expected_gradient in zip(gradients, expected_gradients):
        assert norm_error(gradient, expected_gradient) < 1e-6
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        # One teacher for two examples would broadcast.
        traced([tf.constant(x[:1]) for x in teacher], [tf.constant(x) for x in student])


def test_empty_batch_counts_zero():
    """A replica gets one if the last batch is smaller than the number of replicas."""
    teacher, student = features(2.0, SIZES["half"], batch=0)
    traced = in_a_function(teacher, student, loss=FSP())
    value, gradients = traced(*([tf.constant(x) for x in side] for side in (teacher, student)))
    assert float(value) == 0
    assert [gradient.shape for gradient in gradients] == [x.shape for x in student]


def test_zero_at_the_teacher():
    """Value and gradient."""
    teacher, _ = features(50.0, SIZES["half"])
    values, gradients = run(teacher, teacher)
    assert not np.any(values)
    assert not any(np.any(gradient) for gradient in gradients)


def test_teacher_gets_no_gradient():
    """Both models would meet at nothing."""
    teacher, student = ([tf.Variable(x) for x in side] for side in features())
    with tf.GradientTape() as tape:
        value = FSP()(teacher, student)
    assert tape.gradient(value, teacher) == [None, None]


def test_what_the_flow_does_not_see():
    """The order of the positions, and a factor that the two maps share out."""
    teacher, (first, last) = features(2.0, SIZES["equal"])
    expected = FSP(reduction=None)(teacher, [first, last])
    order = np.random.default_rng(0).permutation(16)
    moved = [x.reshape(2, 16, -1)[:, order].reshape(x.shape) for x in (first, last)]
    np.testing.assert_allclose(FSP(reduction=None)(teacher, moved), expected, rtol=1e-5)
    np.testing.assert_array_equal(FSP(reduction=None)(teacher, [4 * first, last / 4]), expected)
    swapped = [first[:, ::-1], last]
    assert np.all(np.abs(FSP(reduction=None)(teacher, swapped) / expected - 1) > 1e-3)


def test_scale():
    """Both models' features twice as large: each entry of the flow is four times as large."""
    teacher, student = features(2.0, SIZES["half"])
    doubled = ([2 * x for x in side] for side in (teacher, student))
    expected = 16 * np.asarray(FSP(reduction=None)(teacher, student))
    np.testing.assert_array_equal(FSP(reduction=None)(*doubled), expected)


def test_weights_are_of_the_examples():
    """One of 0 leaves an example out."""
    teacher, student = features(batch=3)
    values = FSP(reduction=None)(teacher, student).numpy()
    weights = np.array([1.0, 0.0, 2.0], "float32")
    objective = Objective(FSP(), teacher_layer=["a", "b"], student_layer=["a", "b"])
    expected = pytest.approx(np.sum(values * weights) / 3, rel=1e-6)
    assert float(FSP()(teacher, student, weights)) == expected
    assert float(objective(teacher, student, sample_weight=weights)) == expected


def test_channels_that_differ():
    """A flow of 1 x 5 would broadcast over one of 3 x 5."""
    maps = [np.ones((2, 4, 4, channels)) for channels in (1, 3, 5)]
    with pytest.raises(ValueError, match="FSP needs the same number of channels") as error:
        FSP()([maps[0], maps[2]], [maps[1], maps[2]])
    assert "Received: teacher [(2, 4, 4, 1), (2, 4, 4, 5)], student [(2, 4, 4, 3)" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        ([(2, 4, 4, 3)], [(2, 4, 4, 3)]),
        ([(2, 4, 4, 3)] * 3, [(2, 4, 4, 3)] * 3),
        ([(2, 4, 3)] * 2, [(2, 4, 3)] * 2),
        ([(2, 4, 4, 3)] * 2, [(2, 4, 4, 3)]),
        ([(2, 4, 4, 3)] * 2, [(2, None, 4, 3)] * 2),
    ],
    ids=str,
)
def test_taps_that_have_no_flow(teacher, student):
    """Named before any training, by the Objective."""
    objective = Objective(
        FSP(), teacher_layer=["a"] * len(teacher), student_layer=["a"] * len(student)
    )
    with pytest.raises(ValueError, match=r"FSP compares two layers of each model.*Give two paths"):
        objective.build(teacher, student)


def test_mask():
    """Pooled positions cannot be left out, and Keras does not look into lists for masks."""
    teacher, student = features()
    student[1] = tf.constant(student[1])
    student[1]._keras_mask = tf.ones((2, 4, 4), bool)
    with pytest.raises(ValueError, match="FSP compares whole feature maps"):
        FSP()(teacher, student)


def test_round_trip():
    """A reloaded Distiller goes on with the same loss."""
    loss = FSP(reduction="sum", name="mine")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert type(restored) is FSP
    assert restored.get_config() == loss.get_config()
