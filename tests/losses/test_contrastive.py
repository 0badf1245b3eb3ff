"""CRD against the paper's formula in float64: values, gradients, memories, negatives."""

import contextlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import Objective
from keras_distill.data import with_example_index
from keras_distill.losses import CRD
from keras_distill.losses.relations.memory import NegativeSampler

NUM_EXAMPLES = 12
SETTINGS = {"feature_dim": 5, "num_negatives": 6, "momentum": 0.3, "temperature": 0.2, "seed": 7}
INDEX = np.array([3, 0, 11, 7])


def crd(**kwargs):
    return CRD(NUM_EXAMPLES, **(SETTINGS | {"reduction": None} | kwargs))


def built(teacher_width=8, student_width=4, **kwargs):
    """A loss with its variables, before any training step; its draws are those of a new one."""
    loss = crd(**kwargs)
    loss.for_batch(example_index=[0])(np.ones((1, teacher_width)), np.ones((1, student_width)))
    state = loss.negatives.seed_generator.state
    state.assign([SETTINGS["seed"], 0])
    return loss


def negatives_of(num_draws, labels=None, index=INDEX):
    """What a loss of SETTINGS draws, one time after the other."""
    labels = np.arange(NUM_EXAMPLES) if labels is None else labels
    sampler = NegativeSampler(SETTINGS["num_negatives"], labels, SETTINGS["seed"])
    return [sampler(tf.constant(index, "int32")).numpy() for _ in range(num_draws)]


def unit(x):
    return x / tf.norm(x, axis=-1, keepdims=True)


class Oracle:
    """The paper in float64, with the weights of a loss at the time that it is made."""

    def __init__(self, loss):
        def float64(variable):
            return tf.constant(variable.numpy(), "float64")

        memories = loss.teacher_memory, loss.student_memory
        self.heads = [[float64(v) for v in memory.projection.weights] for memory in memories]
        self.banks = [float64(memory.bank) for memory in memories]
        self.normalizers = [None, None]

    def embed(self, side, features):
        kernel, bias = self.heads[side]
        return unit(tf.reshape(features, (len(features), -1)) @ kernel + bias)

    def values(self, teacher, student, index, negatives):
        """Loss of each example; sets the normalisers if they are not yet."""
        embedded = self.embed(0, teacher), self.embed(1, student)
        share = negatives.shape[1] / NUM_EXAMPLES
        total = 0.0
        for side in (0, 1):
            bank, anchors = self.banks[side], embedded[1 - side]
            products = tf.stack(
                [
                    [tf.reduce_sum(bank[k] * anchors[row]) for k in (i, *negatives[row])]
                    for row, i in enumerate(index)
                ]
            )
            exponentials = tf.exp(products / SETTINGS["temperature"])
            if self.normalizers[side] is None:
                self.normalizers[side] = NUM_EXAMPLES * np.mean(exponentials)
            p = exponentials / self.normalizers[side]
            total -= tf.math.log(p[:, 0] / (p[:, 0] + share))
            total -= tf.reduce_sum(tf.math.log(share / (p[:, 1:] + share)), axis=1)
        return total

    def step(self, teacher, student, index, negatives):
        """Values and the gradient by the student's features, then the memories move."""
        teacher, student = (tf.cast(x, "float64") for x in (teacher, student))
        with tf.GradientTape() as tape:
            tape.watch(student)
            values = self.values(teacher, student, index, negatives)
        gradient = tape.gradient(values, student)
        for side, features in enumerate((teacher, student)):
            bank, new = self.banks[side].numpy(), self.embed(side, features).numpy()
            for row, i in enumerate(index):
                mixed = SETTINGS["momentum"] * bank[i] + (1 - SETTINGS["momentum"]) * new[row]
                bank[i] = mixed / np.linalg.norm(mixed)
            self.banks[side] = tf.constant(bank)
        return values.numpy(), gradient


def state_of(loss):
    """What a training step changes."""
    memories = loss.teacher_memory, loss.student_memory
    return [v.numpy() for m in memories for v in (m.bank, m.log_normalizer)]


@pytest.mark.long_but_first
@pytest.mark.parametrize("limit", [1e-3, 5.0, 1000.0])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_two_training_steps(limit, dtype):
    """The first sets Z, the second reads what the first remembered: each would go unseen."""
    loss = built()
    oracle = Oracle(loss)
    for step, negatives in enumerate(negatives_of(2)):
        teacher = tf.cast(uniform(limit, (4, 8), seed=step)[0], dtype)
        student = tf.cast(uniform(limit, (4, 4), seed=step)[1], dtype)
        expected, expected_gradient = oracle.step(teacher, student, INDEX, negatives)
        values, gradient = run(loss.for_batch(example_index=INDEX, training=True), teacher, student)
        assert values.dtype == "float32"
        assert gradient.dtype == dtype
        assert norm_error(values, expected) < 1e-6
        if dtype == "float32":
            assert norm_error(gradient, expected_gradient) < 2e-6
        else:
            # Those of features of 1000 are near the smallest float16.
            np.testing.assert_allclose(
                tf.cast(gradient, "float64"), expected_gradient, rtol=5e-3, atol=6e-8
            )
        for side, memory in enumerate((loss.teacher_memory, loss.student_memory)):
            assert norm_error(memory.bank, oracle.banks[side]) < 1e-6
            log_normalizer = np.log(oracle.normalizers[side])
            assert float(memory.log_normalizer) == pytest.approx(log_normalizer, rel=1e-5)


def test_both_heads_learn():
    """The teacher's features are constant, the layer that embeds them is not."""
    loss = built()
    teacher, student = uniform(2.0, (4, 8))
    student = student[:, :4]
    (negatives,) = negatives_of(1)
    oracle = Oracle(loss)
    teacher_tensor = tf.constant(teacher)
    weights = [m.projection.kernel.value for m in (loss.teacher_memory, loss.student_memory)]
    kernels = [head[0] for head in oracle.heads]
    with tf.GradientTape() as tape:
        tape.watch(teacher_tensor)
        values = loss.for_batch(example_index=INDEX)(teacher_tensor, student)
    gradients = tape.gradient(values, [teacher_tensor, *weights])
    with tf.GradientTape() as tape:
        tape.watch(kernels)
        values = oracle.values(
            *(tf.constant(x, "float64") for x in (teacher, student)), INDEX, negatives
        )
    assert gradients[0] is None
    for gradient, expected in zip(gradients[1:], tape.gradient(values, kernels)):
        assert norm_error(gradient, expected) < 2e-6


def test_starts_near_chance():
    """A wrong Z shifts the start: with Z right, a pair has the chance 1 / (num_negatives + 1)."""
    loss = built(feature_dim=64, num_negatives=100, temperature=1.0)
    teacher, student = uniform(1.0, (4, 8))
    values = loss.for_batch(example_index=INDEX)(teacher, student[:, :4])
    np.testing.assert_allclose(values, 2 * (np.log(101) + 100 * np.log(1.01)), rtol=0.1)


def test_outside_of_training_nothing_changes():
    """Validation would remember examples of another data set."""
    loss = built()
    before = state_of(loss)
    teacher, student = uniform(2.0, (4, 8))[0], uniform(2.0, (4, 4))[1]
    loss.for_batch(example_index=INDEX)(teacher, student)
    for old, new in zip(before, state_of(loss)):
        np.testing.assert_array_equal(old, new)
    loss.for_batch(example_index=INDEX, training=True)(teacher, student)
    others = np.setdiff1d(np.arange(NUM_EXAMPLES), INDEX)
    after = state_of(loss)
    for old, new in zip(before[::2], after[::2]):
        np.testing.assert_array_equal(old[others], new[others])
        assert (old[INDEX] != new[INDEX]).any(axis=1).all()


@pytest.mark.parametrize("labels", [None, np.arange(NUM_EXAMPLES) % 3], ids=["no", "labels"])
def test_negatives(labels):
    """One of the same example or class is no negative; all the others have one chance."""
    classes = np.arange(NUM_EXAMPLES) if labels is None else labels
    sampler = NegativeSampler(3000, classes, seed=0)
    drawn = sampler(tf.range(NUM_EXAMPLES)).numpy()
    assert drawn.shape == (NUM_EXAMPLES, 3000)
    for example, negatives in enumerate(drawn):
        counts = np.bincount(negatives, minlength=NUM_EXAMPLES)
        is_other = classes != classes[example]
        assert not counts[~is_other].any()
        expected = 3000 / is_other.sum()
        np.testing.assert_allclose(counts[is_other], expected, atol=5 * np.sqrt(expected))


def test_for_batch_shares_the_layers():
    """A copy with layers of its own would learn, and be thrown away after the step."""
    loss = built()
    given = loss.for_batch(example_index=INDEX, training=True)
    for name in ("teacher_memory", "student_memory", "negatives"):
        assert getattr(given, name) is getattr(loss, name)
    assert (loss.example_index, loss.training) == (None, False)


def test_labels_reach_the_sampler():
    """Labels that are checked and then forgotten."""
    labels = np.repeat([5, -2], [11, 1])
    drawn = crd(labels=labels).negatives(tf.constant([0, 11])).numpy()
    assert (drawn[0] == 11).all()
    assert (drawn[1] != 11).all()


def test_seed():
    """Two runs of one seed are equal; without a seed two losses draw different negatives."""
    first, again, other = (
        NegativeSampler(50, np.arange(NUM_EXAMPLES), seed)(tf.constant(INDEX)).numpy()
        for seed in (1, 1, None)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.long
def test_unknown_batch_size(jit_compile):
    """fit() traces with a batch size of None; a replica may get an empty batch."""
    loss = built(reduction="sum_over_batch_size")
    oracle = Oracle(loss)
    specs = [tf.TensorSpec((None, 8)), tf.TensorSpec((None, 4)), tf.TensorSpec((None,), "int64")]

    @tf.function(input_signature=specs, jit_compile=jit_compile)
    def value_and_gradient(teacher, student, index):
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = loss.for_batch(example_index=index, training=True)(teacher, student)
        return value, tape.gradient(value, student)

    teacher, student = uniform(2.0, (4, 8))[0], uniform(2.0, (4, 4))[1]
    values, expected_gradient = oracle.step(teacher, student, INDEX, negatives_of(1)[0])
    value, gradient = value_and_gradient(teacher, student, INDEX)
    assert float(value) == pytest.approx(np.mean(values), rel=1e-6)
    assert norm_error(gradient, np.asarray(expected_gradient) / 4) < 2e-6
    assert norm_error(loss.student_memory.bank, oracle.banks[1]) < 1e-6
    if not jit_compile:
        before = state_of(loss)
        value, gradient = value_and_gradient(teacher[:0], student[:0], INDEX[:0])
        assert float(value) == 0
        assert gradient.shape == (0, 4)
        for old, new in zip(before, state_of(loss)):
            np.testing.assert_array_equal(old, new)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"must be from 0 to 11"):
            value_and_gradient(teacher, student, INDEX + 1)


@pytest.mark.parametrize("rows", [slice(1), slice(None)], ids=["one", "all"])
def test_features_of_zeros(rows):
    """A blank image behind a ReLU: its gradient was 1e12, and the bias went away with the step."""
    loss = built()
    teacher, student = uniform(1.0, (4, 8))
    student = student[:, :4].astype("float32")
    student[rows] = 0
    student = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        values = loss.for_batch(example_index=INDEX, training=True)(teacher, student)
    weights = loss.student_memory.projection.trainable_weights
    by_student, *by_weights = tape.gradient(values, [student, *(w.value for w in weights)])
    assert not np.any(by_student[rows])
    for gradient in (by_student, *by_weights):
        assert np.max(np.abs(gradient)) < 1e3
    assert np.isfinite(loss.student_memory.bank).all()


def test_empty_first_batch_leaves_the_normaliser_unset():
    """The mean of nothing would be NaN for ever."""
    loss = built()
    none = loss.for_batch(example_index=INDEX[:0], training=True)
    assert none(np.ones((0, 8)), np.ones((0, 4))).shape == (0,)
    assert float(loss.student_memory.log_normalizer) == -np.inf
    values = loss.for_batch(example_index=INDEX, training=True)(np.eye(4, 8), np.eye(4))
    assert np.isfinite(values).all()


def test_low_temperature():
    """exp(1 / 0.01) is inf in float32."""
    values, gradient = run(
        built(temperature=0.001).for_batch(example_index=INDEX, training=True),
        uniform(2.0, (4, 8))[0],
        uniform(2.0, (4, 4))[1],
    )
    assert np.isfinite(values).all()
    assert np.isfinite(gradient).all()


def test_masks_and_weights():
    """Padding is zeros in both; weights are of the examples."""
    teacher, student = uniform(2.0, (4, 5, 2))
    mask = np.arange(5) < np.array([[5], [3], [4], [2]])
    kept = [np.where(mask[..., None], x, 0).astype("float32") for x in (teacher, student)]
    loss = built(10, 10)
    expected = loss.for_batch(example_index=INDEX)(*kept)
    loss.negatives.seed_generator.state.assign([SETTINGS["seed"], 0])
    student = tf.convert_to_tensor(student)
    student._keras_mask = tf.constant(mask)
    weights = np.array([1.0, 0.0, 2.0, 0.5], "float32")
    values = loss.for_batch(example_index=INDEX)(teacher, student, weights)
    np.testing.assert_allclose(values, expected * weights, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_examples": 1}, "num_examples must be an integer of 2 or more. Received"),
        ({"feature_dim": 0}, "feature_dim must be an integer of 1 or more"),
        ({"num_negatives": 1.5}, "num_negatives must be an integer of 1 or more"),
        ({"temperature": 0}, "temperature must be a positive finite number"),
        ({"momentum": 1.0}, r"momentum must be a rate in \[0, 1\)"),
        ({"seed": -1}, "seed must be an integer of 0 or more"),
        ({"labels": [0, 1]}, r"labels must be the integer class .* shape \(2,\).*num_examples=12"),
        ({"labels": np.ones(12)}, "labels must be the integer class .* dtype float64"),
        ({"labels": np.ones(12, int)}, "of at least two classes"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    """Labels of another length would make other examples the negatives."""
    with pytest.raises(ValueError, match=message):
        CRD(**({"num_examples": NUM_EXAMPLES} | arguments))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (None, "CRD needs the number of each example in its data set. Received: example_index=Non"),
        ([[0], [1]], r"one integer for each example, \(batch,\). Received: shape \(2, 1\)"),
        ([0.0, 1.0], "Received: shape .*float32"),
        ([0, 12], r"must be from 0 to 11, below num_examples. Received: \[12\]"),
        ([-1, 3], r"Received: \[-1\]"),
    ],
)
def test_bad_index(index, message):
    """An index out of the memory reads zeros on some devices."""
    loss = crd().with_settings(example_index=index)
    with pytest.raises(ValueError, match=message):
        loss(np.ones((2, 3)), np.ones((2, 4)))


def test_features_without_a_fixed_size():
    """No layer can embed them."""
    spec = tf.TensorSpec((None, None, 4))
    with pytest.raises(ValueError, match="CRD embeds features of a fixed size"):
        tf.function(crd(), input_signature=[spec, spec]).get_concrete_function()


@pytest.mark.parametrize("labels", [None, np.arange(NUM_EXAMPLES) % 3], ids=["no", "labels"])
def test_config_round_trip(labels):
    """A reloaded Distiller must not go on with other negatives than before."""
    loss = crd(labels=labels, name="mine", reduction="sum", dtype="float64")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.get_config() == loss.get_config()
    index = tf.constant(INDEX)
    np.testing.assert_array_equal(restored.negatives(index), loss.negatives(index))


# In a Distiller

X, _ = uniform(1.0, (NUM_EXAMPLES, 6))


def distiller_with(loss, **kwargs):
    def network(width):
        hidden = keras.layers.Dense(width, "tanh", name="hidden")
        return keras.Sequential([keras.Input((6,)), hidden, keras.layers.Dense(3)])

    objective = Objective(loss, teacher_layer="hidden", student_layer="hidden")
    distiller = Distiller(student=network(4), teacher=network(8), alpha=0.5, objectives=[objective])
    distiller.compile(keras.optimizers.SGD(0.1), **kwargs)
    return distiller


def numbered(x=X):
    return with_example_index(tf.data.Dataset.from_tensor_slices(x))


def fit(distiller, dataset, **kwargs):
    return distiller.fit(dataset, shuffle=False, verbose=0, **kwargs).history


@pytest.mark.long
def test_student_comes_to_tell_the_examples_apart():
    """What it is for: the nearest remembered teacher embedding is that of the same example."""
    loss = crd(feature_dim=8, num_negatives=11, reduction="sum_over_batch_size")
    distiller = distiller_with(loss)
    fit(distiller, numbered().repeat(200).batch(NUM_EXAMPLES))
    nearest = np.argmax(loss.student_memory.bank @ np.transpose(loss.teacher_memory.bank), axis=1)
    assert np.mean(nearest == np.arange(NUM_EXAMPLES)) >= 0.75


def test_batches_without_an_index():
    """The first batch is soon enough to say so."""
    with pytest.raises(ValueError, match="CRD needs the number of each example in its data set"):
        fit(distiller_with(crd(reduction="sum")), tf.data.Dataset.from_tensor_slices(X).batch(4))


def test_index_outside_of_the_data_set():
    """Of a larger data set than the one that was promised; named before the first step."""
    dataset = numbered().map(lambda x: x._replace(example_index=x.example_index + 9)).batch(4)
    with pytest.raises(ValueError, match=r"must be from 0 to 11, below num_exam.*\[12\]"):
        fit(distiller_with(crd(reduction="sum")), dataset)


def test_first_batch_check_leaves_no_trace():
    """The batch that is looked at before the first step would be remembered twice."""
    loss = crd(reduction="sum_over_batch_size")
    distiller = distiller_with(loss)

    class StoppedError(Exception):
        pass

    def stop(self, *args):
        raise StoppedError

    distiller.train_step = stop
    with pytest.raises(StoppedError):
        fit(distiller, numbered().batch(4))
    # The call that built it has drawn once.
    assert loss.negatives.seed_generator.state.numpy().tolist() == [SETTINGS["seed"], 1]
    for memory in (loss.teacher_memory, loss.student_memory):
        assert float(memory.log_normalizer) == -np.inf
        assert not np.allclose(np.linalg.norm(memory.bank, axis=1), 1)


class NextExamples(keras.layers.Layer):
    """Negatives that do not depend on which replica draws them."""

    def call(self, index):
        return (index[:, None] + tf.range(1, 7)) % NUM_EXAMPLES


@pytest.mark.long
# With 11 the last batch has one example: none for the second device.
@pytest.mark.parametrize("batch_size", [4, 11])
def test_two_devices_remember_what_one_does(two_devices, batch_size):
    """Each sees half of the batch: with memories, or a Z, of their own they would go apart."""
    trained = []
    for scope in (contextlib.nullcontext(), two_devices.scope()):
        keras.utils.set_random_seed(0)
        with scope:
            loss = crd(reduction="sum_over_batch_size")
            loss.negatives = NextExamples()
            distiller = distiller_with(loss)
        fit(distiller, numbered().batch(batch_size), epochs=2)
        trained.append(loss)
    one, two = ([loss.teacher_memory, loss.student_memory] for loss in trained)
    for single, mirrored in zip(one, two):
        for name in ("bank", "log_normalizer"):
            first, second = (copy.numpy() for copy in getattr(mirrored, name).value.values)
            np.testing.assert_array_equal(first, second)
            assert np.isfinite(first).all()
            if batch_size == 4:
                np.testing.assert_allclose(first, getattr(single, name).numpy(), atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(mirrored.bank, axis=1), 1, rtol=1e-5)


@pytest.mark.long
def test_inputs_may_be_arrays():
    """Without tf.data: the indices go into the x of fit()."""
    distiller = distiller_with(crd(reduction="sum_over_batch_size"))
    x = DistillationInputs(X, example_index=np.arange(NUM_EXAMPLES))
    history = distiller.fit(x, batch_size=5, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    norms = np.linalg.norm(distiller.objectives[0].loss.student_memory.bank, axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
