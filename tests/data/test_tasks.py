"""Data of several tasks: what a batch holds, how often, and what a student learns from it."""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

import keras_distill as kd
from keras_distill.data import join_tasks
from keras_distill.data import mix_tasks

RNG = np.random.default_rng(0)
SIZES = {"topic": 64, "score": 16}
# The number of an example is its first feature.
X = {
    task: np.stack([np.arange(size) + 100 * i, RNG.normal(size=size)], -1).astype("float32")
    for i, (task, size) in enumerate(SIZES.items())
}
Y = {"topic": np.arange(64) % 3, "score": RNG.normal(size=16).astype("float32")}
DATA = {task: (X[task], Y[task]) for task in SIZES}
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
HARD = {"topic": CROSS_ENTROPY, "score": keras.losses.MeanSquaredError()}
SOFT = {"topic": kd.losses.SoftTargetKL(2.0), "score": keras.losses.MeanSquaredError()}


def student(*heads):
    inputs = keras.Input((2,))
    x = keras.layers.Rescaling([0.01, 1.0])(inputs)
    sizes = {"topic": 3, "score": 1}
    return keras.Model(inputs, {h: keras.layers.Dense(sizes[h], name=h)(x) for h in heads})


def teachers():
    return kd.teachers.TaskTeachers(
        {
            "topic": keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]),
            "score": keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]),
        }
    )


def numbers(batches):
    """The numbers of the examples, in their order."""
    return np.concatenate([np.asarray(x)[:, 0] for x, _, _ in batches])


def test_each_example_has_its_own_label_and_weight():
    """A label under another example, or a weight under another head, would train all the same."""
    batches = list(mix_tasks(DATA, 10, seed=1))
    assert len(batches) == 8
    for x, y, weights in batches:
        assert x.shape == (10, 2)
        number = x[:, 0].numpy().astype(int)
        is_score = number >= 100
        np.testing.assert_array_equal(weights["score"], is_score)
        np.testing.assert_array_equal(weights["topic"], ~is_score)
        np.testing.assert_array_equal(y["topic"], np.where(is_score, 0, number % 3))
        np.testing.assert_array_equal(
            y["score"], np.where(is_score, Y["score"][number % 100 % 16], 0)
        )


@pytest.mark.long_but_first
@pytest.mark.parametrize("exponent", [0.0, 0.75, 1.0])
def test_tasks_are_drawn_by_their_size(exponent):
    x = np.zeros((4096, 1), "float32")
    tasks = {"large": (x, x[:, 0]), "middle": (x[:256], x[:256, 0]), "small": (x[:16], x[:16, 0])}
    batches = mix_tasks(tasks, 1000, exponent, num_batches=20, seed=0)
    drawn = sum(np.array([w[task].numpy().sum() for task in tasks]) for _, _, w in batches)
    share = np.array([4096.0, 256.0, 16.0]) ** exponent
    share /= share.sum()
    deviation = np.sqrt(20_000 * share * (1 - share))
    assert drawn.sum() == 20_000
    np.testing.assert_array_less(np.abs(drawn - 20_000 * share), 4 * deviation)


def test_all_of_a_task_comes_before_one_comes_again():
    """With draws at random some examples would be missed, epoch for epoch."""
    drawn = numbers(mix_tasks(DATA, 10, num_batches=30, seed=0))
    scores = drawn[drawn >= 100]
    assert len(scores) > 32
    for start in range(0, len(scores) - 16, 16):
        assert sorted(scores[start : start + 16]) == list(range(100, 116))


def test_epochs_differ_and_a_seed_repeats_them():
    """An epoch that repeats the first would show the same part of the large tasks for ever."""
    one, two = mix_tasks(DATA, 10, seed=3), mix_tasks(DATA, 10, seed=3)
    epochs = [numbers(one), numbers(one)]
    assert not np.array_equal(*epochs)
    for epoch in epochs:
        np.testing.assert_array_equal(numbers(two), epoch)
    assert not np.array_equal(numbers(mix_tasks(DATA, 10, seed=4)), epochs[0])


def test_joined_every_example_comes_once():
    batches = list(join_tasks(DATA, 30))
    assert [len(x) for x, _, _ in batches] == [30, 30, 20]
    assert len(join_tasks(DATA, 30)) == 3
    np.testing.assert_array_equal(numbers(batches), [*range(64), *range(100, 116)])


def test_weights_of_the_data_and_sizes_not_known():
    """Of a filtered data set TensorFlow does not know the size."""
    weights = np.linspace(1, 2, 64)
    filtered = tf.data.Dataset.from_tensor_slices(DATA["score"]).filter(lambda x, y: x[0] < 104)
    tasks = {"topic": (*DATA["topic"], weights), "score": filtered}
    (x, _, w), *_ = join_tasks(tasks, 100)
    assert x.shape == (68, 2)
    np.testing.assert_allclose(w["topic"], [*weights, 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(w["score"], [0] * 64 + [1] * 4)
    assert len(mix_tasks(tasks, 17)) == 4


def test_examples_of_the_package():
    examples = kd.text.Examples(np.array(["a b", "c", "d"]), np.array([0, 1, 0]), ["no", "yes"])
    other = (np.array(["e", "f"]), np.array([0.5, 1.5]))
    (x, y, _), *_ = join_tasks({"one": examples, "two": other}, 8)
    assert x.numpy().tolist() == [b"a b", b"c", b"d", b"e", b"f"]
    assert y["two"].numpy().tolist() == [0, 0, 0, 0.5, 1.5]


def losses_by_hand(x, y, weights, taught, learnt, temperature=2.0):
    """Oracle: hard and soft loss as the mean over examples of the loss of the example's task."""
    hard, soft = np.zeros(len(x)), np.zeros(len(x))
    for i in range(len(x)):
        if weights["topic"][i]:
            hard[i] = -scipy.special.log_softmax(learnt["topic"][i])[int(y["topic"][i])]
            log_p, log_q = (
                scipy.special.log_softmax(side["topic"][i] / temperature)
                for side in (taught, learnt)
            )
            soft[i] = temperature**2 * np.sum(np.exp(log_p) * (log_p - log_q))
        else:
            hard[i] = (learnt["score"][i, 0] - y["score"][i]) ** 2
            soft[i] = (learnt["score"][i, 0] - taught["score"][i, 0]) ** 2
    return hard.mean(), soft.mean()


@pytest.mark.long
def test_losses_and_metrics_of_each_task_in_a_distiller():
    """A stand-in that counted would pull every head to 0, and spoil every metric."""
    model, teacher = student("topic", "score"), teachers()
    distiller = kd.Distiller(student=model, teacher=teacher, alpha=0.3, soft_loss=SOFT)
    distiller.compile(
        keras.optimizers.SGD(0.0),
        HARD,
        weighted_metrics={
            "topic": keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            "score": keras.metrics.MeanAbsoluteError(name="error"),
        },
    )
    batches = mix_tasks(DATA, 40, num_batches=1, seed=0)
    history = {k: v[0] for k, v in distiller.fit(batches, shuffle=False, verbose=0).history.items()}
    ((x, y, weights),) = mix_tasks(DATA, 40, num_batches=1, seed=0)
    taught, learnt = ({h: z.numpy() for h, z in m(x).items()} for m in (teacher, model))
    hard, soft = losses_by_hand(x, y, weights, taught, learnt)
    assert history["hard_loss"] == pytest.approx(hard, rel=1e-5)
    assert history["soft_loss"] == pytest.approx(soft, rel=1e-5)
    assert history["loss"] == pytest.approx(0.3 * hard + 0.7 * soft, rel=1e-5)
    is_score = weights["score"].numpy() == 1
    accuracy = np.mean((learnt["topic"].argmax(-1) == y["topic"])[~is_score])
    error = np.mean(np.abs(learnt["score"][:, 0] - y["score"])[is_score])
    assert history["topic_accuracy"] == pytest.approx(accuracy, rel=1e-5)
    assert history["score_error"] == pytest.approx(error, rel=1e-5)

    of_all = distiller.evaluate(join_tasks(DATA, 30), verbose=0, return_dict=True)
    alone = np.mean(model.predict(X["topic"], verbose=0)["topic"].argmax(-1) == Y["topic"])
    assert of_all["topic_accuracy"] == pytest.approx(alone, rel=1e-5)


def test_a_reduction_by_weight_counts_tasks_alike():
    """What the docstring promises of Keras."""
    model = student("topic", "score")
    reduction = "mean_with_sample_weight"
    model.compile(
        "sgd",
        {
            "topic": keras.losses.SparseCategoricalCrossentropy(True, reduction=reduction),
            "score": keras.losses.MeanSquaredError(reduction),
        },
    )
    logs = model.evaluate(join_tasks(DATA, 80), verbose=0, return_dict=True)
    outputs = {task: model(X[task]) for task in SIZES}
    topic = CROSS_ENTROPY(Y["topic"], outputs["topic"]["topic"])
    score = np.mean((outputs["score"]["score"][:, 0] - Y["score"]) ** 2)
    assert logs["loss"] == pytest.approx(float(topic) + score, rel=1e-5)


@pytest.mark.long
def test_two_devices_learn_as_one(two_devices):
    """Of a batch one device may get a task's examples and the other none."""
    weights = []
    for strategy in (tf.distribute.get_strategy(), two_devices):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model, teacher = student("topic", "score"), teachers()
            distiller = kd.Distiller(student=model, teacher=teacher, alpha=0.3, soft_loss=SOFT)
            distiller.compile(keras.optimizers.SGD(0.1), HARD)
        distiller.fit(join_tasks(DATA, 8), shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for one, two in zip(*weights):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.long_but_first
@pytest.mark.parametrize("named", [False, True])
def test_outputs_of_stores_go_to_their_heads(named, tmp_path):
    """No teacher runs: each task's store knows its own examples alone."""
    teacher = teachers()
    tasks = {}
    for task, of_task in zip(teacher.heads, teacher.teachers):
        dataset = tf.data.Dataset.from_tensor_slices(DATA[task])
        store = kd.TeacherStore.build(dataset, of_task, tmp_path / task, dtype="float32", verbose=0)
        tasks[task] = store.attach(dataset, name=task if named else None)
    model = student("topic", "score")
    distiller = kd.Distiller(student=model, alpha=0.0, soft_loss=SOFT)
    distiller.compile(keras.optimizers.SGD(0.0))
    batches = mix_tasks(tasks, 40, num_batches=1, seed=0)
    history = distiller.fit(batches, shuffle=False, verbose=0).history
    ((x, y, weights),) = batches
    taught, learnt = ({h: z.numpy() for h, z in m(x.student).items()} for m in (teacher, model))
    for head in SIZES:
        own = weights[head].numpy() == 1
        carried = x.teacher_outputs[head].numpy()
        np.testing.assert_allclose(carried[own], taught[head][own], rtol=1e-6)
        np.testing.assert_array_equal(carried[~own], 0)
    assert 0 < weights["score"].numpy().sum() < 40
    ((x, y, weights),) = mix_tasks(DATA, 40, num_batches=1, seed=0)
    taught, learnt = ({h: z.numpy() for h, z in m(x).items()} for m in (teacher, model))
    _, soft = losses_by_hand(x, y, weights, taught, learnt)
    assert history["soft_loss"] == [pytest.approx(soft, rel=1e-5)]


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_stand_ins_of_carried_outputs_are_not_taken_for_probabilities(activation):
    """A batch without a task holds its stand-ins alone: zeros, which a sigmoid might give."""
    answers = RNG.normal(size=(64, 3)).astype("float32")
    answers = scipy.special.softmax(answers, -1) if activation else answers
    others = np.ones((16, 2), "float32")
    tasks = {
        "topic": (kd.DistillationInputs(X["topic"], teacher_outputs=answers), Y["topic"]),
        "tags": (kd.DistillationInputs(X["score"], teacher_outputs=5 * others), others),
    }
    inputs = keras.Input((2,))
    heads = {"topic": 3, "tags": 2}
    model = keras.Model(
        inputs, {h: keras.layers.Dense(n, name=h)(inputs) for h, n in heads.items()}
    )
    soft_loss = {
        "topic": kd.losses.SoftTargetKL(teacher_from_logits=activation is None),
        "tags": kd.losses.BinarySoftTargets(),
    }
    distiller = kd.Distiller(student=model, alpha=0.0, soft_loss=soft_loss)
    distiller.compile(keras.optimizers.SGD(0.0))
    # In order: the first batch is of the first task alone, the last of the other.
    history = distiller.fit(join_tasks(tasks, 16), shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_probabilities_among_stand_ins_are_still_found():
    """Else what passed over the stand-ins would pass over the examples as well."""
    answers = scipy.special.softmax(RNG.normal(size=(64, 3)), -1).astype("float32")
    tasks = {
        "topic": (kd.DistillationInputs(X["topic"], teacher_outputs=answers), Y["topic"]),
        "score": (
            kd.DistillationInputs(X["score"], teacher_outputs=Y["score"][:, None]),
            Y["score"],
        ),
    }
    distiller = kd.Distiller(student=student("topic", "score"), alpha=0.0, soft_loss=SOFT)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"output\[topic\]' looks like probabilities"):
        distiller.fit(mix_tasks(tasks, 40, seed=0), shuffle=False, verbose=0)


def test_an_example_index_is_left_out():
    """Two tasks have the same numbers: a loss that remembers examples would mix them up."""
    tasks = {
        task: kd.data.with_example_index(tf.data.Dataset.from_tensor_slices(DATA[task]))
        for task in SIZES
    }
    x, _, _ = next(iter(mix_tasks(tasks, 8)))
    assert x.example_index == ()
    assert x.teacher_outputs == ()


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_student_that_lacks_a_head(alpha):
    """At alpha 0 nothing else would say that a task is left out."""
    distiller = kd.Distiller(student=student("topic"), teacher=teachers(), alpha=alpha)
    distiller.compile("sgd", {"topic": CROSS_ENTROPY})
    with pytest.raises(ValueError, match=r"y names outputs .* does not have: \['score'\]"):
        distiller.fit(mix_tasks(DATA, 8), shuffle=False, verbose=0)


def test_a_teacher_that_lacks_a_head():
    teacher = kd.teachers.TaskTeachers({"topic": lambda x: keras.ops.tile(x[:, :1], [1, 3])})
    distiller = kd.Distiller(
        student=student("topic", "score"), teacher=teacher, alpha=0.0, soft_loss=SOFT
    )
    distiller.compile("sgd")
    with pytest.raises(ValueError, match="The teacher must have every output of the student"):
        distiller.fit(mix_tasks(DATA, 8), shuffle=False, verbose=0)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (tf.data.Dataset.from_tensor_slices(X["score"]), r"Task 'score' must have a y .*y=None"),
        (
            tf.data.Dataset.from_tensor_slices(DATA["score"]).batch(4),
            "Task 'score' must have a y .*, not batches",
        ),
        ((X["score"], {"a": Y["score"]}), "Task 'score' must have a y .* one tensor"),
        ((X["score"][:, :1], Y["score"]), r"one structure, .*\[1\].* of task 'score', .*\[2\]"),
        ((X["score"].astype("float64"), Y["score"]), "one structure, .*float64.*float32"),
        (({"a": X["score"]}, Y["score"]), "one structure, dtype and shape"),
        ((X["score"][:0], Y["score"][:0]), "Task 'score' must have at least one .* none"),
        (
            tf.data.Dataset.from_tensor_slices(DATA["score"]).repeat(),
            "Task 'score' must have at least one .* repeats forever",
        ),
        (X["score"], "Task 'score' must be a tf.data.Dataset .* ndarray"),
        ((X["score"],), "Task 'score' must be a tf.data.Dataset .* tuple of 1"),
        ((X["score"], Y["score"][:3]), "Task 'score' must have arrays of as many labels as inputs"),
        (
            (kd.DistillationInputs(X["score"], teacher_outputs=X["score"]), Y["score"]),
            r"Either all tasks carry teacher_outputs or none. Received: none of \['topic'\]",
        ),
        (
            (kd.DistillationInputs(X["score"], teacher_outputs={"a": X["score"]}), Y["score"]),
            "Task 'score' must carry one output of its teacher",
        ),
    ],
)
@pytest.mark.parametrize("function", [mix_tasks, join_tasks])
def test_bad_tasks(function, score, message):
    with pytest.raises(ValueError, match=message):
        function({"topic": DATA["topic"], "score": score}, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": {}}, "tasks must be a dict"),
        ({"tasks": [DATA["topic"]]}, "tasks must be a dict"),
        ({"exponent": 1.5}, r"exponent must be a rate in \[0, 1\]"),
        ({"exponent": -0.1}, r"exponent must be a rate in \[0, 1\]"),
        ({"batch_size": 0}, "batch_size must be an integer of 1"),
        ({"num_batches": 0}, "num_batches must be an integer of 1"),
        ({"seed": "a"}, "seed must be an integer of 0"),
        ({"seed": 1.5}, "seed must be an integer of 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        mix_tasks(**{"tasks": DATA, "batch_size": 8, **arguments})


def test_probabilities_of_a_teacher_whose_task_comes_later():
    """Where the first batch has none of its examples, its values tell nothing: its layers do."""
    logits = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    number = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    softmax = keras.Sequential([logits, keras.layers.Softmax()])
    data = join_tasks({"score": DATA["score"], "topic": DATA["topic"]}, 8)
    pupil, found = student("topic", "score"), []
    for teacher in (logits, softmax):
        taught = kd.teachers.TaskTeachers({"topic": teacher, "score": number})
        distiller = kd.Distiller(student=pupil, teacher=taught, alpha=0.0, soft_loss=SOFT)
        distiller.compile(keras.optimizers.SGD(0.0))
        found.append(distiller.fit(data, shuffle=False, verbose=0).history["soft_loss"])
    np.testing.assert_allclose(*found, rtol=1e-5)
    opaque = kd.teachers.TaskTeachers({"topic": lambda x: softmax(x), "score": number})
    assert taught.output_domains == ["logits", "softmax"]
    assert opaque.output_domains == ["logits", None]


def test_data_that_lack_a_head():
    """Keras would name neither the head nor the remedy."""
    distiller = kd.Distiller(
        student=student("topic", "score"), teacher=teachers(), alpha=0.5, soft_loss=SOFT
    )
    distiller.compile("sgd", HARD)
    one_task = mix_tasks({"topic": DATA["topic"]}, 8)
    with pytest.raises(ValueError, match=r"y lacks the labels of \['score'\].*Received: y of \['t"):
        distiller.fit(one_task, shuffle=False, verbose=0)
    distiller.compile("sgd", {"topic": CROSS_ENTROPY})
    distiller.fit(one_task, shuffle=False, verbose=0)


def test_each_head_has_its_own_soft_loss():
    """Of one sum nobody could see which task is not learnt."""
    distiller = kd.Distiller(
        student=student("topic", "score"), teacher=teachers(), alpha=0.0, soft_loss=SOFT
    )
    distiller.compile(keras.optimizers.SGD(0.0))
    history = distiller.fit(join_tasks(DATA, 80), shuffle=False, verbose=0).history
    parts = [history["topic_soft_loss"], history["score_soft_loss"]]
    np.testing.assert_allclose(np.sum(parts, axis=0), history["soft_loss"], rtol=1e-5)
    x, weights = np.concatenate([X["topic"], X["score"]]), np.arange(80) < 64
    taught, learnt = (model(x)["topic"] for model in (distiller.teacher, distiller.student))
    expected = kd.losses.SoftTargetKL(2.0)(taught, learnt, weights.astype("float32"))
    np.testing.assert_allclose(history["topic_soft_loss"], expected, rtol=1e-5)


@pytest.mark.long
def test_heads_without_a_soft_loss_have_none_in_the_history():
    soft = {"topic": kd.losses.SoftTargetKL(2.0)}
    distiller = kd.Distiller(
        student=student("topic", "score"), teacher=teachers(), alpha=0.5, soft_loss=soft
    )
    distiller.compile("sgd", HARD)
    history = distiller.fit(join_tasks(DATA, 8), shuffle=False, verbose=0).history
    assert "topic_soft_loss" in history
    assert "score_soft_loss" not in history
