"""The losses between relations against the papers' formulas, written out example by example."""

import itertools
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform

from keras_distill.losses import CorrelationCongruence
from keras_distill.losses import ProbabilisticTransfer
from keras_distill.losses import RKDAngle
from keras_distill.losses import RKDDistance
from keras_distill.losses import SimilarityPreserving

SEQUENCES = tf.TensorSpec((None, None, 3))
MASKS = tf.TensorSpec((None, None), tf.bool)

# Each oracle computes in float64 from vectors, one for each example, and gives `(batch,)`.


def huber(x):
    return tf.where(abs(x) <= 1, x**2 / 2, abs(x) - 0.5)


def rkd_distance(teacher, student):
    def rows(x):
        """For each example the distances to the others, in units of the mean."""
        distances = [tf.norm(without(x, i) - x[i], axis=1) for i in range(len(x))]
        return [row / tf.reduce_mean(distances) for row in distances]

    return tf.stack([mean(huber(t - s)) for t, s in zip(rows(teacher), rows(student))])


def rkd_angle(teacher, student):
    def cosines(x, vertex):
        directions = without(x, vertex) - x[vertex]
        directions /= tf.norm(directions, axis=1, keepdims=True)
        size = len(directions)
        pairs = itertools.permutations(range(size), 2)
        return tf.stack([dot(directions[i], directions[k]) for i, k in pairs])

    vertices = range(len(teacher))
    return tf.stack([mean(huber(cosines(teacher, j) - cosines(student, j))) for j in vertices])


def similarity_preserving(teacher, student):
    def similarities(x):
        rows = [tf.linalg.matvec(x, a) for a in x]
        return [row / tf.norm(row) for row in rows]

    return tf.stack(
        [mean((t - s) ** 2) for t, s in zip(similarities(teacher), similarities(student))]
    )


def correlation_congruence(teacher, student):
    def kernel(a, b):
        cosine = dot(a, b) / (tf.norm(a) * tf.norm(b))
        return math.exp(-0.8) * (1 + 0.8 * cosine + 0.8**2 / 2 * cosine * cosine)

    def of_example(i):
        t, s = (tf.stack([kernel(x[i], y) for y in x]) for x in (teacher, student))
        return mean((t - s) ** 2)

    return tf.stack([of_example(i) for i in range(len(teacher))])


def probabilistic_transfer(teacher, student):
    def probabilities(x, i):
        lengths = tf.norm(without(x, i), axis=1) * tf.norm(x[i])
        kernels = (tf.linalg.matvec(without(x, i), x[i]) / lengths + 1) / 2
        return kernels / tf.reduce_sum(kernels)

    values = []
    for i in range(len(teacher)):
        p, q = probabilities(teacher, i), probabilities(student, i)
        values.append(tf.reduce_sum(p * tf.math.log(p / q)))
    return tf.stack(values)


def without(x, index):
    """All examples but one."""
    return tf.concat([x[:index], x[index + 1 :]], axis=0)


def dot(a, b):
    return tf.reduce_sum(a * b)


mean = tf.reduce_mean


ORACLES = {
    RKDDistance: rkd_distance,
    RKDAngle: rkd_angle,
    SimilarityPreserving: similarity_preserving,
    CorrelationCongruence: correlation_congruence,
    ProbabilisticTransfer: probabilistic_transfer,
}
every_loss = pytest.mark.parametrize("loss_class", ORACLES)


def expected_of(loss_class, teacher, student):
    """Values, and the gradient of their sum, in float64."""
    vectors = [tf.constant(np.reshape(x, (len(x), -1)), "float64") for x in (teacher, student)]
    with tf.GradientTape() as tape:
        tape.watch(vectors[1])
        values = ORACLES[loss_class](*vectors)
    gradient = tape.gradient(values, vectors[1])
    return values.numpy(), np.reshape(gradient, np.shape(student))


@pytest.mark.parametrize("limit", [1e-3, 5.0, 1000.0])
@pytest.mark.parametrize(
    ("teacher_shape", "student_shape"), [((4, 7), (4, 3)), ((5, 2), (5, 2, 2, 3))], ids=str
)
@every_loss
def test_value_and_gradient_are_exact(loss_class, teacher_shape, student_shape, limit):
    """A relation over the wrong axis compares features instead of examples."""
    teacher = uniform(limit, teacher_shape)[0]
    student = uniform(limit, student_shape, seed=1)[1]
    expected, expected_gradient = expected_of(loss_class, teacher, student)
    values, gradient = run(loss_class(reduction=None), teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


@every_loss
def test_far_from_the_origin(loss_class):
    """In float32 the products of such vectors have lost what tells the examples apart."""
    teacher, student = (x + 1000 for x in uniform(1.0, (5, 8)))
    expected, expected_gradient = expected_of(loss_class, teacher, student)
    values, gradient = run(loss_class(reduction=None), teacher, student)
    if loss_class is ProbabilisticTransfer:
        # Such cosines are 1 up to 1e-7, and divergences of the square of that are rounding.
        np.testing.assert_allclose(values, expected, atol=1e-14)
    else:
        assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-5


@every_loss
def test_what_leaves_relations_as_they_are(loss_class):
    """A rotation and a scale; a shift too, of distances and angles; a padded width."""
    teacher, student = uniform(2.0, (6, 8))
    rotation, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 8)))
    loss = loss_class(reduction=None)
    changed = (3.0 * student @ rotation).astype("float32")
    np.testing.assert_allclose(loss(teacher, changed), loss(teacher, student), rtol=1e-5)
    np.testing.assert_allclose(loss(student, changed), 0, atol=1e-12)
    wider = np.pad(student, [(0, 0), (0, 5)])
    np.testing.assert_allclose(loss(teacher, wider), loss(teacher, student), rtol=1e-6)
    shifted = np.asarray(loss(student, student + 5))
    is_kept = loss_class in (RKDDistance, RKDAngle)
    assert (shifted.max() < 1e-12) == is_kept


@every_loss
def test_nothing_to_learn_from_the_same_features(loss_class):
    """A gradient there would push a perfect student away."""
    teacher, _ = uniform(5.0, (6, 8))
    values, gradient = run(loss_class(reduction=None), teacher, teacher)
    assert not np.any(values)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


@every_loss
def test_equal_examples_and_zeros_are_no_trouble(loss_class):
    """A distance or length of 0 has no direction: a gradient there would be NaN."""
    teacher, student = uniform(2.0, (6, 8))
    student[1], student[2], student[4] = student[0], student[0], 0
    teacher[3] = 0
    for features in (student, np.ones((6, 8), "float32"), np.zeros((6, 8), "float32")):
        values, gradient = run(loss_class(reduction=None), teacher, features)
        assert np.isfinite(values).all()
        assert np.isfinite(gradient).all()
        assert np.any(values)


@every_loss
def test_one_hot_examples(loss_class):
    """At right angles a power of the cosine is 0, whose gradient may be 0 / 0."""
    teacher, student = uniform(1.0, (4, 4))[0], np.eye(4, dtype="float32")
    expected, expected_gradient = expected_of(loss_class, teacher, student)
    values, gradient = run(loss_class(reduction=None), teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


def test_angles_at_an_example_that_comes_twice_count_as_right():
    """The pair of an example with itself is none: it must not count the teacher's twins."""
    teacher = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    student = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    # Only at the last the teacher has an angle, of 0 degrees; the student's has 45.
    last = (1 - np.sqrt(0.5)) ** 2 / 2
    # At the second the student has 45 degrees.
    second = 0.5 * np.sqrt(0.5) ** 2
    values = RKDAngle(reduction=None)(teacher, student)
    np.testing.assert_allclose(values, [0, second, last], atol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_loss
def test_half_precision(loss_class, dtype):
    """The square of 1000 is inf in float16."""
    teacher, student = (tf.cast(x, dtype) for x in uniform(1000.0, (5, 8)))
    expected, expected_gradient = expected_of(loss_class, teacher, student)
    values, gradient = run(loss_class(reduction=None), teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert gradient.dtype == dtype
    # Gradients by features of 1000 are near the smallest float16.
    atol = {"float16": 6e-8, "bfloat16": 0}[dtype]
    np.testing.assert_allclose(
        tf.cast(gradient, "float64"), expected_gradient, rtol=4e-3, atol=atol
    )


@every_loss
def test_weights_are_of_the_examples(loss_class):
    """Values of pairs instead of examples would not take the batch's weights."""
    teacher, student = uniform(2.0, (6, 8))
    weights = np.array([1.0, 0.0, 2.0, 0.5, 0.0, 1.0], "float32")
    values = np.asarray(loss_class(reduction=None)(teacher, student))
    assert values.shape == (6,)
    assert float(loss_class()(teacher, student, weights)) == pytest.approx(
        np.sum(values * weights) / 6, rel=1e-5
    )


@every_loss
def test_masked_positions_count_as_zeros(loss_class):
    """What stands in the padding differs by the batch's longest text."""
    teacher, student = uniform(2.0, (4, 5, 3))
    mask = np.arange(5) < np.array([[5], [3], [4], [2]])
    kept = [np.where(mask[..., None], x, 0).astype("float32") for x in (teacher, student)]
    expected = loss_class(reduction=None)(*kept)
    pooled = loss_class(reduction=None)(teacher[:, 0], kept[1])
    student = tf.convert_to_tensor(student)
    student._keras_mask = tf.convert_to_tensor(mask)
    np.testing.assert_allclose(loss_class(reduction=None)(teacher, student), expected, rtol=1e-6)
    # A teacher without these positions has nothing to mask.
    values = loss_class(reduction=None)(teacher[:, 0], student)
    np.testing.assert_allclose(values, pooled, rtol=1e-6)


@pytest.mark.long_but_first
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("length", [5, 7])
def test_masked_students_beside_teachers_of_any_length(length, jit_compile):
    """Only the batch tells the lengths: the student's mask is for as many positions."""
    teacher, _ = uniform(2.0, (4, length, 3))
    student, _ = uniform(1.0, (4, 5, 3))
    mask = np.arange(5) < np.array([[5], [3], [4], [2]])
    zeros = [np.where(mask[..., None], x, 0) if x.shape[1] == 5 else x for x in (teacher, student)]
    expected = RKDDistance()(*zeros)

    @tf.function(input_signature=[SEQUENCES, SEQUENCES, MASKS], jit_compile=jit_compile)
    def call(teacher, student, mask):
        student = tf.identity(student)
        student._keras_mask = mask
        return RKDDistance()(teacher, student)

    assert float(call(teacher, student, mask)) == pytest.approx(float(expected), rel=1e-5)


def test_teacher_with_a_mask_of_its_own():
    """Its padding is not the student's where both read other tokens."""
    teacher, _ = uniform(2.0, (4, 7, 3))
    student, _ = uniform(1.0, (4, 5, 3))
    mask = np.arange(7) < np.array([[5], [3], [4], [2]])
    expected = RKDDistance()(np.where(mask[..., None], teacher, 0), student)
    teacher, student = tf.constant(teacher), tf.constant(student)
    teacher._keras_mask = tf.constant(mask)
    student._keras_mask = tf.ones((4, 5), "bool")
    assert float(RKDDistance()(teacher, student)) == pytest.approx(float(expected), rel=1e-5)


@every_loss
def test_mask_of_whole_examples(loss_class):
    """As in Keras: the mean over the examples that are left."""
    teacher, student = uniform(2.0, (4, 3))
    values = np.asarray(loss_class(reduction=None)(teacher, student))
    student = tf.convert_to_tensor(student)
    student._keras_mask = tf.constant([True, False, True, True])
    value = float(loss_class()(teacher, student))
    assert value == pytest.approx(np.mean(values[[0, 2, 3]]), rel=1e-5)


def traced(loss, **kwargs):
    """Value and gradients of a loss whose batch size only shows when it runs."""
    specs = [tf.TensorSpec((None, 7)), tf.TensorSpec((None, 3))]

    @tf.function(input_signature=specs, **kwargs)
    def value_and_gradients(teacher, student):
        with tf.GradientTape() as tape:
            tape.watch([teacher, student])
            value = loss(teacher, student)
        return value, tape.gradient(value, [teacher, student])

    return value_and_gradients


@every_loss
def test_batches_too_small_to_have_relations(loss_class):
    """The last batch may have one example, or a replica none: 0 / 0 would end the training."""
    value_and_gradients = traced(loss_class())
    for size in range(loss_class.smallest_batch):
        features = uniform(2.0, (size, 10))[0]
        value, (_, gradient) = value_and_gradients(features[:, :7], features[:, 7:])
        assert float(value) == 0
        np.testing.assert_array_equal(gradient, np.zeros((size, 3)))


@pytest.mark.parametrize("jit_compile", [False, True])
@every_loss
@pytest.mark.long
def test_unknown_batch_size(loss_class, jit_compile):
    """fit() traces with a batch size of None; XLA fuses, and must give the same number."""
    features = uniform(5.0, (6, 10))[0]
    teacher, student = features[:, :7], features[:, 7:]
    values, expected_gradient = expected_of(loss_class, teacher, student)
    value, gradients = traced(loss_class(), jit_compile=jit_compile)(teacher, student)
    assert float(value) == pytest.approx(np.mean(values), rel=1e-6)
    assert gradients[0] is None
    assert norm_error(gradients[1], expected_gradient / 6) < 1e-6


@every_loss
def test_shapes_that_do_not_fit(loss_class):
    """Relations of other examples, or of one, are numbers without a meaning."""
    name, smallest = loss_class.__name__, loss_class.smallest_batch
    with pytest.raises(ValueError, match=rf"{name} needs batches of at least {smallest} examples"):
        loss_class()(np.ones((smallest - 1, 3)), np.ones((smallest - 1, 3)))
    with pytest.raises(ValueError, match=rf"{name} compares features of the same examples"):
        loss_class()(np.ones((4, 3)), np.ones((5, 3)))
    with pytest.raises(ValueError, match=r"Received: teacher \(4, 3\), student \(4,\)"):
        loss_class()(np.ones((4, 3)), np.ones(4))


def test_arguments_of_the_kernel():
    """A width of 0 makes all examples alike."""
    for settings, message in (
        ({"gamma": 0}, "gamma must be a positive finite number. Received: gamma=0"),
        ({"gamma": np.inf}, "gamma must be a positive finite number"),
        ({"gamma": True}, "gamma must be a positive finite number"),
        ({"order": 0}, "order must be an integer of 1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            CorrelationCongruence(**settings)


def test_kernel_of_a_high_order_is_gaussian():
    """The series' factors, against what they approximate."""
    teacher, student = uniform(1.0, (4, 3))
    values = CorrelationCongruence(gamma=0.7, order=25, reduction=None)(teacher, student)
    kernels = []
    for features in (teacher, student):
        unit = features.astype("float64") / np.linalg.norm(features, axis=1, keepdims=True)
        squared = np.sum((unit[:, None] - unit[None]) ** 2, axis=-1)
        kernels.append(np.exp(-0.7 * squared))
    assert norm_error(values, np.mean((kernels[0] - kernels[1]) ** 2, axis=1)) < 1e-6


@every_loss
def test_config_round_trip(loss_class):
    """A reloaded Distiller must not go on with another loss than it was saved with."""
    given = {"name": "mine", "reduction": "sum", "dtype": "float64"}
    if loss_class is CorrelationCongruence:
        given |= {"gamma": 0.7, "order": 3}
    loss = loss_class(**given)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert type(restored) is loss_class
    assert restored.get_config() == loss.get_config()
    teacher, student = uniform(5.0, (4, 6))
    assert float(restored(teacher, student)) == float(loss(teacher, student))
