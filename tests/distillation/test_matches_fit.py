"""With alpha=1 a Distiller is `student.fit`: what Keras offers keeps working.

Each case trains the same student twice from the same seed, plainly and inside a
Distiller whose teacher may not run. Weights, history, evaluate and predict must agree.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from keras import ops

from keras_distill import Distiller

NUM_EXAMPLES, BATCH_SIZE, CLASSES = 26, 8, 4  # A ragged last batch of two.
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(NUM_EXAMPLES, 6)).astype("float32")
LABELS = RNG.integers(0, CLASSES, NUM_EXAMPLES)
IDS = RNG.integers(0, 12, (NUM_EXAMPLES, 5))
IDS[:, 3:] *= RNG.integers(0, 2, (NUM_EXAMPLES, 2))  # Some padding.
TOKEN_LABELS = RNG.integers(0, CLASSES, (NUM_EXAMPLES, 5))
IMAGES = RNG.normal(size=(NUM_EXAMPLES, 6, 6, 2)).astype("float32")
PIXEL_LABELS = RNG.integers(0, CLASSES, (NUM_EXAMPLES, 6, 6))


def sparse_ce(**kwargs):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **kwargs)


def forbidden_teacher(x):
    raise AssertionError("The teacher ran although alpha is 1.")


def assert_same_training(make_student, compile_args, x, y=None, rtol=1e-5, **fit_args):
    """Trains plainly and under a Distiller, and compares all that a user can see.

    `compile_args`, and `x` if it is a function, are called anew for each training, since
    optimizers, metrics and generators have a state.
    """
    results = []
    for wrap in (
        lambda student: student,
        lambda s: Distiller(student=s, teacher=forbidden_teacher, alpha=1.0),
    ):
        keras.utils.set_random_seed(3)
        student = make_student()
        model = wrap(student)
        model.compile(**compile_args())
        fit_args.setdefault("epochs", 2)
        data = x() if callable(x) else x
        batching = {} if callable(x) else {"batch_size": BATCH_SIZE}
        history = model.fit(data, y, verbose=0, **batching, **fit_args).history
        data = x() if callable(x) else x
        steps = {"steps": fit_args.get("steps_per_epoch")} if callable(x) else {}
        evaluation = model.evaluate(data, y, verbose=0, return_dict=True, **steps)
        variables = {v.path: v.numpy() for v in student.variables}
        results.append((variables, history, evaluation, student, model))
    plain, distilled = results
    assert len(plain[0]) == len(distilled[0])
    for expected, actual in zip(plain[0].values(), distilled[0].values()):
        np.testing.assert_allclose(actual, expected, atol=1e-6, rtol=0)
    assert plain[1].keys() <= distilled[1].keys()
    for name, expected in plain[1].items():
        np.testing.assert_allclose(distilled[1][name], expected, rtol=rtol, err_msg=name)
    assert plain[2].keys() == distilled[2].keys()
    for name, expected in plain[2].items():
        np.testing.assert_allclose(distilled[2][name], expected, rtol=rtol, err_msg=name)
    return plain[4], distilled[4]


def mlp(dropout=0.0, batch_norm=False, regularizer=None, **kwargs):
    stack = [keras.Input((6,)), layers.Dense(7, "relu", kernel_regularizer=regularizer)]
    if batch_norm:
        stack.append(layers.BatchNormalization())
    if dropout:
        stack.append(layers.Dropout(dropout))
    return keras.Sequential([*stack, layers.Dense(CLASSES, **kwargs)])


def sgd():
    # Its graph is the fastest to trace, and no scale of the loss is lost on it.
    return keras.optimizers.SGD(0.1)


def compiled(loss=sparse_ce, metrics=("accuracy",), optimizer=sgd, **kwargs):
    return lambda: {
        "optimizer": optimizer(),
        "loss": loss(),
        "metrics": list(metrics) if isinstance(metrics, tuple) else metrics,
        **kwargs,
    }


class ActivityLoss(layers.Layer):
    def call(self, inputs):
        self.add_loss(0.1 * ops.mean(ops.square(inputs)))
        return inputs


def with_add_loss():
    inputs = keras.Input((6,))
    hidden = ActivityLoss()(layers.Dense(7, activity_regularizer="l2")(inputs))
    return keras.Model(inputs, layers.Dense(CLASSES)(hidden))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(7, activation="relu")
        self.dropout = layers.Dropout(0.3)
        self.head = layers.Dense(CLASSES)

    def call(self, inputs, training=None):
        return self.head(self.dropout(self.hidden(inputs), training=training))


def subclassed():
    model = Subclassed()
    model(FEATURES[:2])
    return model


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    "make_student",
    [
        lambda: mlp(dropout=0.3, batch_norm=True, regularizer="l2"),
        with_add_loss,
        subclassed,
    ],
    ids=["dropout_batch_norm_regularizer", "add_loss", "subclassed"],
)
def test_student_layers(make_student):
    assert_same_training(make_student, compiled(), FEATURES, LABELS)


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3, clipnorm=0.1),
        lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1, use_ema=True, ema_momentum=0.5),
        lambda: keras.optimizers.SGD(
            keras.optimizers.schedules.CosineDecay(0.5, 6), 0.9, global_clipnorm=0.1
        ),
    ],
    ids=["accumulation_clipnorm", "weight_decay_ema", "schedule_global_clipnorm"],
)
def test_optimizers(optimizer):
    assert_same_training(mlp, compiled(optimizer=optimizer), FEATURES, LABELS, epochs=3)


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    "kwargs",
    [{"steps_per_execution": 3}, {"jit_compile": True}, {"run_eagerly": True}],
    ids=lambda kwargs: next(iter(kwargs)),
)
def test_ways_to_run(kwargs):
    assert_same_training(lambda: mlp(dropout=0.3), compiled(**kwargs), FEATURES, LABELS)


@pytest.mark.long_but_first
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_dtype_policies(policy):
    def make_student():
        hidden = layers.Dense(7, "relu", dtype=policy)
        head = layers.Dense(CLASSES, dtype=policy)
        student = keras.Sequential([keras.Input((6,)), hidden, head])
        student.dtype_policy = policy
        return student

    _, distiller = assert_same_training(make_student, compiled(), FEATURES, LABELS)
    scales_loss = isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scales_loss == (policy == "mixed_float16")


@pytest.mark.long
def test_global_dtype_policy():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        assert_same_training(mlp, compiled(), FEATURES, LABELS)
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    "fit_args",
    [
        {
            "sample_weight": RNG.uniform(size=NUM_EXAMPLES),
            "validation_split": 0.3,
            "epochs": 3,
            "initial_epoch": 1,
        },
        {
            "class_weight": {0: 1.0, 1: 3.0, 2: 0.5, 3: 0.0},
            "validation_data": (FEATURES[:10], LABELS[:10]),
            "validation_freq": 2,
            "shuffle": False,
        },
    ],
    ids="-".join,
)
def test_fit_arguments(fit_args):
    compile_args = compiled(weighted_metrics=["accuracy"])
    assert_same_training(mlp, compile_args, FEATURES, LABELS, **fit_args)


def embedding_lstm(mask_zero=True):
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Embedding(12, 4, mask_zero=mask_zero),
            layers.LSTM(5),
            layers.Dense(CLASSES),
        ]
    )


def tagger():
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Embedding(12, 4, mask_zero=True),
            layers.Bidirectional(layers.GRU(3, return_sequences=True)),
            layers.Dense(CLASSES),
        ]
    )


def masking():
    return keras.Sequential(
        [keras.Input((6, 1)), layers.Masking(0.0), layers.SimpleRNN(4), layers.Dense(CLASSES)]
    )


def explicit_mask():
    ids, mask = keras.Input((5,), name="ids"), keras.Input((5,), dtype="bool", name="mask")
    hidden = layers.SimpleRNN(4)(layers.Embedding(12, 4)(ids), mask=mask)
    return keras.Model({"ids": ids, "mask": mask}, layers.Dense(CLASSES)(hidden))


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    ("make_student", "x", "y"),
    [
        (embedding_lstm, IDS, LABELS),
        (tagger, IDS, TOKEN_LABELS),
        (masking, np.where(FEATURES > 0, FEATURES, 0)[..., None], LABELS),
        (explicit_mask, {"ids": IDS, "mask": IDS != 0}, LABELS),
    ],
    ids=["embedding", "token_level", "masking", "explicit"],
)
def test_masks(make_student, x, y):
    assert_same_training(make_student, compiled(), x, y)


@pytest.mark.long
def test_token_weights():
    weights = RNG.uniform(size=TOKEN_LABELS.shape)
    assert_same_training(tagger, compiled(), IDS, TOKEN_LABELS, sample_weight=weights)


@pytest.mark.long
def test_dense_outputs():
    def make_student():
        return keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(CLASSES, 3, padding="same")])

    assert_same_training(make_student, compiled(), IMAGES, PIXEL_LABELS)


def test_half_labelled_data():
    labels = np.where(np.arange(NUM_EXAMPLES) % 2, LABELS, -1)
    compile_args = compiled(loss=lambda: sparse_ce(ignore_class=-1), metrics=())
    assert_same_training(mlp, compile_args, FEATURES, labels)


def two_heads(outputs):
    inputs = {"a": keras.Input((6,), name="a"), "b": keras.Input((6,), name="b")}
    hidden = layers.Dense(5, "relu")(layers.Concatenate()(list(inputs.values())))
    first = layers.Dense(CLASSES, name="first")(hidden)
    second = layers.Dense(1, name="second")(hidden)
    return keras.Model(inputs, outputs(first, second))


TWO_INPUTS = {"a": FEATURES, "b": FEATURES[::-1].copy()}
TARGET = FEATURES[:, :1]


@pytest.mark.long_but_first
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize(
    ("outputs", "loss", "metrics", "y"),
    [
        (
            lambda first, second: {"first": first, "second": second},
            lambda: {"first": sparse_ce(), "second": "mse"},
            {"first": "accuracy", "second": ["mae"]},
            {"first": LABELS, "second": TARGET},
        ),
        (
            lambda first, second: [first, second],
            lambda: [sparse_ce(), "mse"],
            [["accuracy"], ["mae"]],
            [LABELS, TARGET],
        ),
        (
            lambda first, second: [first, second],
            lambda: {"first": sparse_ce(), "second": "mse"},
            {"first": "accuracy", "second": "mae"},
            [LABELS, TARGET],
        ),
        (
            lambda first, second: {"head": {"one": first}, "two": second},
            lambda: {"head": {"one": sparse_ce()}, "two": "mse"},
            None,
            {"head": {"one": LABELS}, "two": TARGET},
        ),
    ],
    ids=["dict", "list", "list_by_name", "nested"],
)
def test_several_inputs_and_outputs(outputs, loss, metrics, y, weighted):
    compile_args = compiled(loss=loss, metrics=metrics)
    fit_args = {"sample_weight": RNG.uniform(size=NUM_EXAMPLES)} if weighted else {}
    assert_same_training(lambda: two_heads(outputs), compile_args, TWO_INPUTS, y, **fit_args)


def test_loss_weights():
    compile_args = compiled(
        loss=lambda: {"first": sparse_ce(), "second": "mse"},
        metrics=None,
        loss_weights={"first": 0.3, "second": 2.0},
    )
    y = {"first": LABELS, "second": TARGET}
    outputs = {"outputs": lambda first, second: {"first": first, "second": second}}
    assert_same_training(lambda: two_heads(**outputs), compile_args, TWO_INPUTS, y)


def batches():
    for start in range(0, NUM_EXAMPLES, BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        yield FEATURES[part], LABELS[part]


def endless_batches():
    while True:
        yield from batches()


def dataset():
    return tf.data.Dataset.from_tensor_slices((FEATURES, LABELS)).batch(BATCH_SIZE)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return -(-NUM_EXAMPLES // BATCH_SIZE)

    def __getitem__(self, index):
        part = slice(index * BATCH_SIZE, (index + 1) * BATCH_SIZE)
        return FEATURES[part], LABELS[part]


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    ("data", "steps"),
    [(dataset, None), (lambda: dataset().repeat(), 5), (endless_batches, 4), (Batches, None)],
    ids=["dataset", "endless_dataset", "generator", "py_dataset"],
)
@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_kinds_of_data(data, steps, steps_per_execution):
    """No batch is lost to the look at the first one, nor seen twice."""
    compile_args = compiled(steps_per_execution=steps_per_execution)
    fit_args = {"steps_per_epoch": steps} if steps else {}
    if (data is not endless_batches and data is not Batches) or steps:
        fit_args["shuffle"] = False
    assert_same_training(mlp, compile_args, data, **fit_args)


def test_train_on_batch():
    students = [mlp(), mlp()]
    students[1].set_weights(students[0].get_weights())
    models = [students[0], Distiller(student=students[1], teacher=forbidden_teacher, alpha=1.0)]
    for model in models:
        model.compile(**compiled()())
    for _ in range(3):
        logs = [m.train_on_batch(FEATURES, LABELS, return_dict=True) for m in models]
        assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-6)
    for expected, actual in zip(students[0].get_weights(), students[1].get_weights()):
        np.testing.assert_allclose(actual, expected, atol=1e-6)
    np.testing.assert_allclose(
        models[0].test_on_batch(FEATURES, LABELS),
        models[1].test_on_batch(FEATURES, LABELS),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        models[0].predict_on_batch(FEATURES), models[1].predict_on_batch(FEATURES), atol=1e-6
    )


def test_predict_is_the_students():
    student = two_heads(lambda first, second: {"first": first, "second": second})
    distiller = Distiller(student=student, teacher=forbidden_teacher)
    expected = student.predict(TWO_INPUTS, verbose=0)
    actual = distiller.predict(TWO_INPUTS, verbose=0)
    assert expected.keys() == actual.keys()
    for name in expected:
        np.testing.assert_array_equal(actual[name], expected[name])


class OwnLoss(Subclassed):
    """A loss that reads the inputs, metrics of its own, and an add_loss in call."""

    def __init__(self):
        super().__init__()
        self.size = keras.metrics.Mean(name="size")
        self.calls = keras.metrics.Sum(name="calls")

    def call(self, inputs, training=None):
        outputs = super().call(inputs, training)
        self.add_loss(0.1 * ops.mean(ops.square(outputs)))
        self.size.update_state(ops.abs(outputs))
        return outputs

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss + ops.mean(x**2) * ops.mean(y_pred**2) + (0.5 if training else 0.0)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.calls.update_state(1)
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        return {**logs, "calls": self.calls.result(), "largest": ops.max(y_pred)}


class OldLoss(Subclassed):
    """As Keras's own example: no `training`, nothing of compile(), a tracker called "loss"."""

    def __init__(self):
        super().__init__()
        self.tracker = keras.metrics.Mean(name="loss")
        self.resets = 0

    def compute_loss(self, x, y, y_pred, sample_weight):
        loss = ops.mean((y_pred - ops.one_hot(y, CLASSES)) ** 2)
        self.tracker.update_state(loss, sample_weight=ops.shape(y_pred)[0])
        return loss

    def reset_metrics(self):
        self.resets += 1
        self.tracker.reset_state()

    @property
    def metrics(self):
        return [self.tracker]


def built(kind):
    model = kind()
    model(FEATURES[:2])
    return model


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    ("kind", "compile_args"),
    [
        (OwnLoss, compiled()),
        (OwnLoss, compiled(run_eagerly=True, metrics=None)),
        (OldLoss, compiled(loss=lambda: None, metrics=None)),
    ],
    ids=["own_loss", "eager", "old_loss"],
)
def test_own_loss_and_metrics(kind, compile_args):
    """What a student's class says of its loss is not dropped for that of compile()."""
    plain, distiller = assert_same_training(lambda: built(kind), compile_args, FEATURES, LABELS)
    assert not distiller.student.compiled
    assert vars(distiller.student).get("_compile_loss") is None
    if kind is OldLoss:
        # In fit, each epoch and evaluation: of the Distiller, its own trackers are reset with it.
        assert distiller.student.resets == plain.resets


def test_own_loss_without_labels():
    class Reconstruction(Subclassed):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ops.mean((y_pred - x[:, :CLASSES]) ** 2)

    compile_args = compiled(loss=lambda: None, metrics=None)
    assert_same_training(lambda: built(Reconstruction), compile_args, FEATURES)


def test_regularisers_beside_an_own_loss_count_once():
    """alpha * (own + regularisers) + (1 - alpha) * (soft + regularisers)."""
    histories = {}
    for kind in ("Model", "Own"):
        keras.utils.set_random_seed(0)
        student = mlp(regularizer="l2")
        if kind == "Own":

            class Own(keras.Model):
                def compute_loss(self, *args, **kwargs):
                    return super().compute_loss(*args, **kwargs)

            student = Own(student.inputs, student.outputs[0])
        distiller = Distiller(student=student, teacher=mlp(), alpha=0.3)
        distiller.compile(sgd(), sparse_ce())
        histories[kind] = distiller.fit(
            FEATURES, LABELS, shuffle=False, epochs=2, verbose=0
        ).history
    for name in ("loss", "soft_loss"):
        np.testing.assert_allclose(histories["Own"][name], histories["Model"][name], rtol=1e-5)
    # Its regularisers are within.
    assert histories["Own"]["hard_loss"][0] > histories["Model"]["hard_loss"][0]


def test_own_predict_step():
    class Decoded(Subclassed):
        def predict_step(self, data):
            return ops.argmax(super().predict_step(data), axis=-1)

    student = built(Decoded)
    expected = student.predict(FEATURES, verbose=0)
    np.testing.assert_array_equal(Distiller(student=student).predict(FEATURES, verbose=0), expected)
