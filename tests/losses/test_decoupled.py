"""DKD against its formula: values, gradients, labels of every kind, and in a Distiller."""

import json

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform
from scipy.special import log_softmax
from scipy.special import logsumexp
from scipy.special import softmax

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import TeacherStore
from keras_distill.losses import DKD
from keras_distill.losses import SoftTargetKL

LIMITS = (5.0, 50.0, 1000.0)
TEMPERATURES = (0.5, 1.0, 4.0)
every_limit = pytest.mark.parametrize("limit", LIMITS)


def labels_of(num_examples, num_classes):
    return np.arange(num_examples) % num_classes


def dkd(teacher, student, labels, temperature, target_weight=1.0, nontarget_weight=8.0):
    """Values and gradient, example by example."""
    values, gradients = [], []
    for z, v, y in zip(np.float64(teacher), np.float64(student), labels):
        z, v = z / temperature, v / temperature
        others = [i for i in range(len(z)) if i != y]
        # log of [p_y, 1 - p_y], for both models.
        p, q = ([a[y] - logsumexp(a), logsumexp(a[others]) - logsumexp(a)] for a in (z, v))
        target = sum(np.exp(a) * (a - b) for a, b in zip(p, q))
        among_p, among_q = log_softmax(z[others]), log_softmax(v[others])
        nontarget = np.sum(np.exp(among_p) * (among_p - among_q))
        values.append(temperature**2 * (target_weight * target + nontarget_weight * nontarget))
        # By the logit of the label's class against the others.
        slope = np.exp(q[0]) - np.exp(p[0]) if q[0] < -1 else np.exp(p[1]) - np.exp(q[1])
        gradient = np.zeros(len(z))
        gradient[y] = target_weight * slope
        gradient[others] = -target_weight * slope * np.exp(among_q)
        gradient[others] += nontarget_weight * (np.exp(among_q) - np.exp(among_p))
        gradients.append(temperature * gradient)
    return np.array(values), np.array(gradients)


@every_limit
@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_value_and_gradient_are_exact(num_classes, limit):
    """A label's class that leaks into the others, or a lost T^2, would only train worse."""
    teacher, student = uniform(limit, (30, num_classes))
    labels = labels_of(30, num_classes)
    for temperature in TEMPERATURES:
        expected, expected_gradient = dkd(teacher, student, labels, temperature)
        loss = DKD(temperature, reduction=None).for_batch(labels=labels)
        values, gradient = run(loss, teacher, student)
        assert values.dtype == "float32"
        assert norm_error(values, expected) < 1e-6, temperature
        assert norm_error(gradient, expected_gradient) < 1e-6, temperature


def test_gradient_is_that_of_the_naive_formula():
    """The oracle's algebra could be wrong in the same way; TensorFlow derives this one."""
    teacher, student = (tf.constant(z) for z in uniform(5.0, (12, 4), "float64"))
    labels = labels_of(12, 4)
    target = tf.one_hot(labels, 4, dtype="float64")
    with tf.GradientTape() as tape:
        tape.watch(student)
        p, q = tf.nn.softmax(teacher / 2), tf.nn.softmax(student / 2)
        p_y, q_y = (tf.reduce_sum(target * z, -1, keepdims=True) for z in (p, q))
        binary = p_y * tf.math.log(p_y / q_y) + (1 - p_y) * tf.math.log((1 - p_y) / (1 - q_y))
        p_rest, q_rest = p / (1 - p_y), q / (1 - q_y)
        rest = tf.reduce_sum((1 - target) * p_rest * tf.math.log(p_rest / q_rest), -1)
        expected = 4 * (3 * binary[:, 0] + 5 * rest)
    loss = DKD(2.0, target_weight=3.0, nontarget_weight=5.0, reduction=None).for_batch(
        labels=labels
    )
    values, gradient = run(loss, teacher, student)
    assert norm_error(values, expected.numpy()) < 1e-6
    assert norm_error(gradient, tape.gradient(expected, student).numpy()) < 1e-6


@pytest.mark.long_but_first
@every_limit
def test_both_parts_are_the_divergence_together(limit):
    """Eq. 7 of the paper: KL = TCKD + (1 - p_y) * NCKD, example by example."""
    teacher, student = uniform(limit, (8, 5))
    labels = labels_of(8, 5)
    for temperature in (1.0, 4.0):
        expected, expected_gradient = oracles.soft_target_kl(teacher, student, temperature)
        p = softmax(np.float64(teacher) / temperature, -1)
        for i, y in enumerate(labels):
            rest = np.delete(p[i], y).sum()
            loss = DKD(
                temperature, target_weight=1.0, nontarget_weight=rest, reduction=None
            ).for_batch(labels=labels[i : i + 1])
            value, gradient = run(loss, teacher[i : i + 1], student[i : i + 1])
            assert float(value[0]) == pytest.approx(expected[i], rel=1e-6)
            assert norm_error(gradient[0], expected_gradient[i]) < 1e-6


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)], ids=["target", "nontarget"])
def test_each_part_sees_its_classes_only(weights):
    """TCKD must not see how the others share, nor NCKD what the label's class has."""
    teacher, student = uniform(5.0, (12, 5), "float64")
    labels = labels_of(12, 5)
    is_target = np.arange(5) == labels[:, None]
    target, nontarget = weights
    loss = DKD(1.0, target_weight=target, nontarget_weight=nontarget, dtype="float64")
    loss = loss.for_batch(labels=labels)
    if weights[0]:
        # The others are shuffled: their sum stays.
        changed = np.array(
            [np.insert(np.delete(z, y)[::-1], y, z[y]) for z, y in zip(student, labels)]
        )
    else:
        changed = np.where(is_target, student + 100, student)
    assert float(loss(teacher, changed)) == pytest.approx(float(loss(teacher, student)), rel=1e-12)


@every_limit
def test_equal_logits_give_zero_value_and_gradient(limit):
    """Rounding noise at the optimum would keep pushing a student that has arrived."""
    logits = uniform(limit, (30, 10))[0]
    for temperature in TEMPERATURES:
        loss = DKD(temperature, reduction=None).for_batch(labels=labels_of(30, 10))
        values, gradient = run(loss, logits, logits)
        assert not np.any(values)
        assert not np.any(gradient)


@pytest.mark.parametrize(
    "kind",
    ["int8", "uint8", "int32", "int64", "uint16", "float32", "column", "one-hot", "bool", "soft"],
)
def test_labels_of_every_kind(kind):
    """What Keras's own losses take for labels must not be read as something else here."""
    teacher, student = uniform(5.0, (12, 4))
    classes = labels_of(12, 4)
    one_hot = np.eye(4)[classes]
    given = {
        "column": classes[:, None],
        "one-hot": one_hot,
        "bool": one_hot.astype(bool),
        "soft": 0.6 * one_hot + 0.1,
    }
    labels = given[kind] if kind in given else classes.astype(kind)
    expected, _ = dkd(teacher, student, classes, 4.0)
    values = DKD(reduction=None).for_batch(labels=labels)(teacher, student)
    assert norm_error(values, expected) < 1e-6


def test_labels_of_each_position():
    """(batch, length, classes), as of a tagger, with labels (batch, length)."""
    teacher, student = uniform(5.0, (3, 5, 4))
    labels = labels_of(15, 4).reshape(3, 5)
    expected, _ = dkd(*(z.reshape(15, 4) for z in (teacher, student)), labels.ravel(), 4.0)
    for given in (labels, labels[..., None], np.eye(4)[labels]):
        values = DKD(reduction=None).for_batch(labels=given)(teacher, student)
        assert values.shape == (3, 5)
        assert norm_error(values, expected.reshape(3, 5)) < 1e-6


def test_negative_labels_count_zero():
    """-1 is what the docs give to examples without a label: not the last class."""
    teacher, student = uniform(5.0, (6, 4))
    labels = np.array([0, -1, 2, -100, 1, 3])
    values, gradient = run(DKD(reduction=None).for_batch(labels=labels), teacher, student)
    kept = labels >= 0
    expected, expected_gradient = dkd(teacher[kept], student[kept], labels[kept], 4.0)
    assert not np.any(values.numpy()[~kept])
    assert not np.any(gradient.numpy()[~kept])
    assert norm_error(values.numpy()[kept], expected) < 1e-6
    assert norm_error(gradient.numpy()[kept], expected_gradient) < 1e-6


def test_labels_are_missing():
    """Without labels there is no target class to take apart."""
    with pytest.raises(ValueError, match=r"DKD needs the labels.*loss\.for_batch\(labels=y\)"):
        DKD()(np.ones((2, 3)), np.ones((2, 3)))


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 1), (), (2, 1, 1)], ids=str)
def test_labels_of_another_shape(shape):
    """They would broadcast, and teach one example by another's label."""
    loss = DKD().for_batch(labels=np.zeros(shape, "int32"))
    with pytest.raises(ValueError, match=r"DKD needs labels of shape \(2,\) for classes, or"):
        loss(np.ones((2, 3)), np.ones((2, 3)))


def test_label_beyond_the_classes():
    """Labels from 1 on: in a graph the last class would count nothing, and nobody would see it."""
    teacher, student = uniform(5.0, (2, 3))
    loss = DKD().for_batch(labels=np.array([1, 3]))
    with pytest.raises(ValueError, match=r"3 classes, so labels go from 0 to 2. Received: 3"):
        loss(teacher, student)


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_one_hot_rows_of_zeros(dtype):
    """tf.one_hot gives them to a class of -1: no label, and not class 0."""
    teacher, student = uniform(5.0, (3, 4))
    one_hot = tf.cast(tf.one_hot([2, -1, 0], 4), dtype)
    by_class = DKD(reduction=None).for_batch(labels=np.array([2, -1, 0]))
    values = DKD(reduction=None).for_batch(labels=one_hot)(teacher, student)
    np.testing.assert_array_equal(values, by_class(teacher, student))
    assert values[1] == 0


@pytest.mark.parametrize("name", ["target_weight", "nontarget_weight"])
@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), True, "1"])
def test_bad_weights(name, weight):
    """A negative weight teaches the opposite."""
    with pytest.raises(ValueError, match=f"{name} must be a finite number >= 0"):
        DKD(**{name: weight})


def test_masks_and_weights():
    """Padded positions have any label at all, and must not count."""
    teacher, student = uniform(5.0, (3, 5, 4))
    mask = np.arange(5) < np.array([[5], [2], [3]])
    labels = np.where(mask, labels_of(15, 4).reshape(3, 5), -100)
    weights = np.linspace(0.5, 2.0, 15).reshape(3, 5)
    tensor = tf.constant(student)
    tensor._keras_mask = tf.constant(mask)
    values, _ = dkd(teacher[mask], student[mask], labels[mask], 4.0)
    loss = DKD().for_batch(labels=labels)
    expected = np.sum(values * weights[mask]) / mask.sum()
    assert float(loss(teacher, tensor, weights)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    """An exponential in float16 overflows."""
    teacher, student = (tf.cast(z, dtype) for z in uniform(1000.0, (12, 5)))
    exact = [tf.cast(z, "float64").numpy() for z in (teacher, student)]
    labels = labels_of(12, 5)
    expected, expected_gradient = dkd(*exact, labels, 4.0)
    values, gradient = run(DKD(reduction=None).for_batch(labels=labels), teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert gradient.dtype == dtype
    assert norm_error(gradient, expected_gradient) < {"float16": 5e-4, "bfloat16": 4e-3}[dtype]


def test_compiled_by_xla():
    """XLA fuses and reorders: a custom gradient may not survive that."""
    teacher, student = uniform(50.0, (12, 5))
    labels = labels_of(12, 5)

    @tf.function(jit_compile=True)
    def compiled(teacher, student, labels):
        return run(DKD(reduction=None).for_batch(labels=labels), teacher, student)

    values, gradient = compiled(*map(tf.constant, (teacher, student, labels)))
    expected, expected_gradient = dkd(teacher, student, labels, 4.0)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


def test_batch_size_shows_when_it_runs():
    """fit() traces with a batch size of None; the last replica may get an empty batch."""
    spec = tf.TensorSpec((None, 5))

    @tf.function(input_signature=[spec, spec, tf.TensorSpec((None,), "int32")])
    def traced(teacher, student, labels):
        return run(DKD().for_batch(labels=labels), teacher, student)

    teacher, student = uniform(5.0, (6, 5))
    labels = labels_of(6, 5).astype("int32")
    expected, _ = dkd(teacher, student, labels, 4.0)
    assert float(traced(teacher, student, labels)[0]) == pytest.approx(expected.mean(), rel=1e-5)
    value, gradient = traced(teacher[:0], student[:0], labels[:0])
    assert float(value) == 0
    assert gradient.shape == (0, 5)


def test_teacher_gets_no_gradient():
    """A loss that may move the teacher pulls both models together, to nothing."""
    teacher, student = (tf.Variable(z) for z in uniform(5.0, (4, 6)))
    with tf.GradientTape() as tape:
        value = DKD().for_batch(labels=labels_of(4, 6))(teacher, student)
    gradients = tape.gradient(value, [teacher, student])
    assert gradients[0] is None
    assert np.any(gradients[1])


def test_temperature_schedule_and_round_trip():
    """The loss at a step keeps its labels and weights; a reloaded one is the same."""
    schedule = keras.optimizers.schedules.PolynomialDecay(8.0, 100, 2.0)
    loss = DKD(schedule, target_weight=2.0, nontarget_weight=3.0, reduction="sum", name="mine")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.get_config() == loss.get_config()
    teacher, student = uniform(5.0, (6, 5))
    labels = labels_of(6, 5)
    value = restored.for_batch(labels=labels, step=50)(teacher, student)
    expected, _ = dkd(teacher, student, labels, 5.0, 2.0, 3.0)
    assert float(value) == pytest.approx(expected.sum(), rel=1e-5)
    assert restored.labels is None


def network(heads, name):
    """A model with one output of logits for each head, a dict if there are two."""
    inputs = keras.Input((4,))
    outputs = {h: keras.layers.Dense(3 + i, name=h)(inputs) for i, h in enumerate(heads)}
    return keras.Model(inputs, outputs if len(heads) > 1 else outputs[heads[0]], name=name)


def compiled_distiller(heads, loss=None, **settings):
    keras.utils.set_random_seed(0)
    distiller = Distiller(
        student=network(heads, "student"), teacher=network(heads, "teacher"), alpha=0, **settings
    )
    distiller.compile(keras.optimizers.SGD(0.0), loss)
    return distiller


def expected_loss(distiller, x, labels, head=None):
    logits = [model(x) for model in (distiller.teacher, distiller.student)]
    logits = [z if head is None else z[head] for z in logits]
    return dkd(*map(np.asarray, logits), labels, 4.0)[0].mean()


class TestDistiller:
    X = uniform(2.0, (8, 4))[0]

    @pytest.mark.long_but_first
    @pytest.mark.parametrize("is_one_hot", [False, True])
    def test_gets_the_labels_of_its_batch(self, is_one_hot):
        """With the labels of the first batch in every step, half of the examples learn nonsense."""
        labels = labels_of(8, 3)
        y = np.eye(3)[labels] if is_one_hot else labels
        distiller = compiled_distiller(["class"], soft_loss=DKD())
        history = distiller.fit(self.X, y, batch_size=4, verbose=0).history
        expected = expected_loss(distiller, self.X, labels)
        assert history["soft_loss"][0] == pytest.approx(expected, rel=1e-5)

    def test_gets_the_labels_of_its_output(self):
        """Two outputs: each DKD has its own labels, sparse and one-hot."""
        labels = {"class": labels_of(8, 3), "topic": labels_of(8, 4)[::-1].copy()}
        y = {"class": labels["class"], "topic": np.eye(4)[labels["topic"]]}
        distiller = compiled_distiller(
            ["class", "topic"], soft_loss={"class": DKD(), "topic": DKD()}
        )
        history = distiller.fit(self.X, y, batch_size=8, verbose=0).history
        expected = sum(expected_loss(distiller, self.X, labels[h], h) for h in labels)
        assert history["soft_loss"][0] == pytest.approx(expected, rel=1e-5)

    def test_teacher_from_a_store(self, tmp_path):
        """Outputs that the batch carries, with the labels beside them."""
        labels = labels_of(8, 3)
        live = compiled_distiller(["class"], soft_loss=DKD())
        dataset = tf.data.Dataset.from_tensor_slices((self.X, labels))
        store = TeacherStore.build(dataset, live.teacher, tmp_path / "store")
        stored = compiled_distiller(["class"], soft_loss=DKD())
        stored.teacher = None
        history = stored.fit(store.attach(dataset).batch(4), shuffle=False, verbose=0).history
        expected = expected_loss(live, self.X, labels)
        assert history["soft_loss"][0] == pytest.approx(expected, rel=1e-3)

    def test_no_labels(self):
        """Before anything is trained."""
        distiller = compiled_distiller(["class"], soft_loss=DKD())
        with pytest.raises(ValueError, match="DKD needs the labels of its output"):
            distiller.fit(self.X, verbose=0)
        with pytest.raises(ValueError, match="DKD needs the labels of its output"):
            distiller.fit(DistillationInputs(self.X, self.X), verbose=0)
        assert int(distiller.optimizer.iterations) == 0

    def test_label_beyond_the_classes(self):
        """The first batch is looked at before the step is compiled."""
        distiller = compiled_distiller(["class"], soft_loss=DKD())
        with pytest.raises(ValueError, match="labels go from 0 to 2"):
            distiller.fit(self.X, labels_of(8, 3) + 1, verbose=0)

    def test_evaluation_needs_no_labels_for_it(self):
        """predict() and a validation without the teacher never ask for it."""
        distiller = compiled_distiller(["class"], soft_loss=DKD())
        assert distiller.predict(self.X, verbose=0).shape == (8, 3)


def test_is_the_divergence_of_two_classes_for_its_target_alone():
    """Two classes: no others share anything, so that NCKD is 0 and TCKD the whole."""
    teacher, student = uniform(5.0, (6, 2))
    value = DKD(2.0).for_batch(labels=labels_of(6, 2))(teacher, student)
    assert float(value) == pytest.approx(float(SoftTargetKL(2.0)(teacher, student)), rel=1e-6)


@pytest.mark.parametrize("is_sparse", [True, False])
def test_labels_whose_width_only_shows_at_run_time(is_sparse):
    """Of one column, argmax would say class 0 to every example."""
    teacher, student = uniform(5.0, (2, 5))
    labels = np.array([[3], [1]]) if is_sparse else np.eye(5)[[3, 1]]

    @tf.function(input_signature=[tf.TensorSpec((None, None), "float32")])
    def of_labels(labels):
        return DKD(reduction=None).for_batch(labels=labels)(teacher, student)

    expected, _ = dkd(teacher, student, [3, 1], 4.0)
    assert norm_error(of_labels(tf.constant(labels, "float32")).numpy(), expected) < 1e-6


def test_a_shift_of_the_logits_changes_nothing():
    """As with soft targets, which it takes apart."""
    teacher, student = uniform(5.0, (6, 5))
    loss = DKD(reduction=None).for_batch(labels=labels_of(6, 5))
    shifted = loss(teacher + 7.0, student - 9.0)
    assert norm_error(shifted.numpy(), loss(teacher, student).numpy()) < 1e-5
