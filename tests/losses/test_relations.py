"""The losses between relations against the papers' formulas, written out example by example."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform

from keras_distill import Distiller
from keras_distill import Objective
from keras_distill.losses import CorrelationCongruence
from keras_distill.losses import ProbabilisticTransfer
from keras_distill.losses import RKDAngle
from keras_distill.losses import RKDDistance
from keras_distill.losses import SimilarityPreserving

# Each oracle computes in float64 from vectors, one for each example, and gives `(batch,)`.


def huber(x):
    return tf.where(abs(x) <= 1, x**2 / 2, abs(x) - 0.5)


def rkd_distance(teacher, student):
    def distances(x):
        pairs = {(i, j): tf.norm(x[i] - x[j]) for i, j in itertools.permutations(range(len(x)), 2)}
        mean = sum(pairs.values()) / len(pairs)
        return {pair: distance / mean for pair, distance in pairs.items()}

    t, s = distances(teacher), distances(student)
    size = len(teacher)
    return tf.stack(
        [
            sum(huber(t[i, j] - s[i, j]) for j in range(size) if j != i) / (size - 1)
            for i in range(size)
        ]
    )


def rkd_angle(teacher, student):
    def cosine(x, i, j, k):
        one, other = x[i] - x[j], x[k] - x[j]
        return tf.tensordot(one, other, 1) / (tf.norm(one) * tf.norm(other))

    values, size = [], len(teacher)
    for j in range(size):
        others = [i for i in range(size) if i != j]
        angles = [
            huber(cosine(teacher, i, j, k) - cosine(student, i, j, k))
            for i, k in itertools.permutations(others, 2)
        ]
        values.append(sum(angles) / len(angles))
    return tf.stack(values)


def similarity_preserving(teacher, student):
    def similarities(x):
        rows = [tf.stack([tf.tensordot(a, b, 1) for b in x]) for a in x]
        return [row / tf.norm(row) for row in rows]

    rows = zip(similarities(teacher), similarities(student))
    return tf.stack([tf.reduce_sum((t - s) ** 2) / len(teacher) for t, s in rows])


def correlation_congruence(teacher, student):
    def kernel(a, b):
        cosine = tf.tensordot(a / tf.norm(a), b / tf.norm(b), 1)
        return sum(math.exp(-0.8) * 0.8**p / math.factorial(p) * cosine**p for p in range(3))

    size = len(teacher)
    return tf.stack(
        [
            sum(
                (kernel(teacher[i], teacher[j]) - kernel(student[i], student[j])) ** 2
                for j in range(size)
            )
            / size
            for i in range(size)
        ]
    )


def probabilistic_transfer(teacher, student):
    def probabilities(x, i):
        kernels = {
            j: (tf.tensordot(x[i], x[j], 1) / (tf.norm(x[i]) * tf.norm(x[j])) + 1) / 2
            for j in range(len(x))
            if j != i
        }
        total = sum(kernels.values())
        return {j: kernel / total for j, kernel in kernels.items()}

    values = []
    for i in range(len(teacher)):
        p, q = probabilities(teacher, i), probabilities(student, i)
        values.append(sum(p[j] * tf.math.log(p[j] / q[j]) for j in p))
    return tf.stack(values)


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


@pytest.mark.parametrize("limit", [1e-3, 5.0, 1e4])
@pytest.mark.parametrize(
    ("teacher_shape", "student_shape"), [((6, 7), (6, 3)), ((5, 4), (5, 2, 2, 3)), ((3, 1), (3, 9))]
)
@every_loss
def test_value_and_gradient_are_exact(loss_class, teacher_shape, student_shape, limit):
    teacher = uniform(limit, teacher_shape)[0]
    student = uniform(limit, student_shape, seed=1)[1]
    expected, expected_gradient = expected_of(loss_class, teacher, student)
    values, gradient = run(loss_class(reduction=None), teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-5
    assert norm_error(gradient, expected_gradient) < 1e-5


@every_loss
def test_far_from_the_origin(loss_class):
    """Products of such vectors have lost what tells the examples apart."""
    teacher, student = (x + 1000 for x in uniform(1.0, (6, 8)))
    expected, expected_gradient = expected_of(loss_class, teacher, student)
    values, gradient = run(loss_class(reduction=None), teacher, student)
    np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-12)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-2, atol=1e-9)


@every_loss
def test_what_leaves_relations_as_they_are(loss_class):
    """A rotation and a scale; a shift too, of distances and angles."""
    teacher, student = uniform(2.0, (6, 8))
    rotation, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 8)))
    loss = loss_class(reduction=None)
    changed = (3.0 * student @ rotation).astype("float32")
    np.testing.assert_allclose(loss(teacher, changed), loss(teacher, student), rtol=1e-4)
    np.testing.assert_allclose(loss(student, changed), 0, atol=1e-9)
    shifted = np.asarray(loss(student, student + 5))
    is_kept = loss_class in (RKDDistance, RKDAngle)
    assert (shifted.max() < 1e-9) == is_kept


@every_loss
def test_equal_examples_and_zeros_are_no_trouble(loss_class):
    """A distance or length of 0 has no direction: a gradient there would be NaN."""
    teacher, student = uniform(2.0, (6, 8))
    student[1], student[2], student[4] = student[0], student[0], 0
    teacher[3] = 0
    values, gradient = run(loss_class(reduction=None), teacher, student)
    assert np.isfinite(values).all()
    assert np.isfinite(gradient).all()
    all_equal = np.ones((6, 8), "float32")
    values, gradient = run(loss_class(reduction=None), teacher, all_equal)
    assert np.isfinite(values).all()
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_loss
def test_half_precision(loss_class, dtype):
    """The square of 1000 is inf in float16."""
    teacher, student = (tf.cast(x, dtype) for x in uniform(1000.0, (6, 8)))
    expected, expected_gradient = expected_of(loss_class, teacher, student)
    values, gradient = run(loss_class(reduction=None), teacher, student)
    assert norm_error(values, expected) < 1e-5
    assert gradient.dtype == dtype
    assert np.isfinite(np.asarray(tf.cast(gradient, "float32"))).all()


@every_loss
def test_weights_are_of_the_examples(loss_class):
    teacher, student = uniform(2.0, (6, 8))
    weights = np.array([1.0, 0.0, 2.0, 0.5, 0.0, 1.0], "float32")
    values = np.asarray(loss_class(reduction=None)(teacher, student))
    assert float(loss_class()(teacher, student, weights)) == pytest.approx(
        np.sum(values * weights) / 6, rel=1e-5
    )


@every_loss
def test_masked_positions_count_as_zeros(loss_class):
    teacher, student = uniform(2.0, (4, 5, 3))
    mask = np.arange(5) < np.array([[5], [3], [4], [2]])
    kept = [np.where(mask[..., None], x, 0).astype("float32") for x in (teacher, student)]
    student = tf.convert_to_tensor(student)
    student._keras_mask = tf.convert_to_tensor(mask)
    values = loss_class(reduction=None)(teacher, student)
    np.testing.assert_allclose(values, loss_class(reduction=None)(*kept), rtol=1e-6)


@every_loss
def test_shapes_that_do_not_fit(loss_class):
    name, smallest = loss_class.__name__, loss_class.smallest_batch
    with pytest.raises(ValueError, match=rf"{name} needs batches of at least {smallest} examples"):
        loss_class()(np.ones((smallest - 1, 3)), np.ones((smallest - 1, 3)))
    with pytest.raises(ValueError, match=rf"{name} compares relations of the same examples"):
        loss_class()(np.ones((4, 3)), np.ones((5, 3)))
    with pytest.raises(ValueError, match=r"Received: teacher \(4, 3\), student \(4,\)"):
        loss_class()(np.ones((4, 3)), np.ones(4))


def test_arguments_of_the_kernel():
    for settings, message in (
        ({"gamma": 0}, "gamma must be a positive finite number. Received: gamma=0"),
        ({"gamma": np.inf}, "gamma must be a positive finite number"),
        ({"order": 0}, "order must be an integer of 1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            CorrelationCongruence(**settings)


def distiller_with(loss):
    def network(width):
        hidden = keras.layers.Dense(width, "relu", name="hidden")
        return keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(3)])

    distiller = Distiller(network(5), network(9), objectives=[Objective(loss, "hidden", "hidden")])
    distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return distiller


@every_loss
def test_in_a_distiller(loss_class, tmp_path):
    """With a last batch of one example, saved and loaded."""
    x, y = uniform(1.0, (9, 4))[0], np.arange(9) % 3
    distiller = distiller_with(loss_class())
    history = distiller.fit(x, y, batch_size=4, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history[loss_class.default_name][0] > 0
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras")
    assert loaded.objectives[0].loss.get_config() == distiller.objectives[0].loss.get_config()
