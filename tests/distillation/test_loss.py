"""The total loss, against a NumPy version in float64, and what it costs to get it."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from keras.optimizers.schedules import PiecewiseConstantDecay
from keras.optimizers.schedules import PolynomialDecay

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import Objective
from keras_distill import losses

CLASSES = 4
RNG = np.random.default_rng(1)
FEATURES = RNG.normal(size=(26, 6)).astype("float32")
LABELS = RNG.integers(0, CLASSES, 26)
TEACHER_LOGITS = (3 * RNG.normal(size=(26, CLASSES))).astype("float32")


def mlp(width=7, name="student", activation=None, **kwargs):
    hidden = layers.Dense(width, "relu", name="hidden", **kwargs)
    head = layers.Dense(CLASSES, activation, name="logits")
    return keras.Sequential([keras.Input((6,)), hidden, head], name=name)


def sparse_ce(**kwargs):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **kwargs)


def log_softmax(logits, temperature=1.0):
    logits = np.asarray(logits, "float64") / temperature
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def soft_targets_oracle(teacher, student, temperature):
    log_p, log_q = log_softmax(teacher, temperature), log_softmax(student, temperature)
    return temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum(-1)


def cross_entropy_oracle(labels, logits):
    return -np.take_along_axis(log_softmax(logits), labels[..., None], -1)[..., 0]


def logs_of_one_step(distiller, x, y=None, sample_weight=None, **compile_args):
    """The losses at the current weights: a step with a learning rate of 0."""
    compile_args.setdefault("loss", sparse_ce())
    distiller.compile(optimizer=keras.optimizers.SGD(0.0), **compile_args)
    return distiller.train_on_batch(x, y, sample_weight, return_dict=True)


@pytest.mark.long_but_first
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 5.0])
def test_total(alpha, temperature):
    """Each term has its own weight, and alpha scales no regulariser."""
    student, teacher = mlp(kernel_regularizer=keras.regularizers.L2(0.1)), mlp(9, "teacher")
    objective = Objective(
        losses.FeatureMSE(), teacher_layer="logits", student_layer="logits", weight=0.7, name="hint"
    )
    distiller = Distiller(
        student=student,
        teacher=teacher,
        alpha=alpha,
        temperature=temperature,
        objectives=[objective],
    )
    logs = logs_of_one_step(distiller, FEATURES, LABELS)
    taught, learnt = teacher.predict(FEATURES, verbose=0), student.predict(FEATURES, verbose=0)
    hard = cross_entropy_oracle(LABELS, learnt).mean()
    soft = soft_targets_oracle(taught, learnt, temperature).mean()
    hint = np.square(taught - learnt).mean()
    regulariser = 0.1 * np.square(student.layers[0].kernel.numpy()).sum()
    total = alpha * hard + (1 - alpha) * soft + 0.7 * hint + regulariser
    assert logs["loss"] == pytest.approx(total, rel=1e-5)
    assert logs["hard_loss"] == pytest.approx(hard, rel=1e-5)
    assert logs["soft_loss"] == pytest.approx(soft if alpha < 1 else 0.0, rel=1e-5)
    assert logs["hint"] == pytest.approx(hint, rel=1e-5)


def test_gradient_of_one_step():
    """The weights move by the closed-form gradient of the total loss."""
    student = keras.Sequential([keras.Input((6,)), layers.Dense(CLASSES)])
    kernel = student.layers[0].kernel.numpy().astype("float64")
    distiller = Distiller(student=student, alpha=0.3, temperature=3.0)
    distiller.compile(keras.optimizers.SGD(1.0), loss=sparse_ce())
    x = DistillationInputs(FEATURES, teacher_outputs=TEACHER_LOGITS)
    distiller.train_on_batch(x, LABELS)
    logits = FEATURES.astype("float64") @ kernel
    p, q = (np.exp(log_softmax(logits, 3.0)) for logits in (TEACHER_LOGITS, logits))
    hard = np.exp(log_softmax(logits)) - np.eye(CLASSES)[LABELS]
    gradient = FEATURES.T @ (0.3 * hard + 0.7 * 3.0 * (q - p)) / len(FEATURES)
    moved = kernel - student.layers[0].kernel.numpy()
    np.testing.assert_allclose(moved, gradient, atol=2e-6)


@pytest.mark.long
def test_history_has_each_part():
    objectives = [
        Objective(
            losses.FeatureMSE(),
            teacher_layer="hidden",
            student_layer="hidden",
            projector="auto",
            name="hint",
        ),
        Objective(losses.LogitsMSE(), teacher_layer="output", student_layer="output"),
    ]
    distiller = Distiller(student=mlp(), teacher=mlp(9, "teacher"), objectives=objectives)
    distiller.compile("adam", loss=sparse_ce(), metrics=["accuracy"])
    data = FEATURES, LABELS
    history = distiller.fit(*data, epochs=2, validation_data=data, verbose=0).history
    parts = {"loss", "hard_loss", "soft_loss", "hint", "logits_mse", "accuracy"}
    assert set(history) == parts | {"val_loss", "val_accuracy"}
    assert all(len(values) == 2 and np.isfinite(values).all() for values in history.values())


def test_parts_are_weighted_by_examples():
    """The uneven last batch counts by its size, as in Keras's own loss."""
    student = mlp()
    distiller = Distiller(student=student, teacher=mlp(9, "teacher"), alpha=0.5)
    distiller.compile(keras.optimizers.SGD(0.0), loss=sparse_ce())
    history = distiller.fit(FEATURES, LABELS, batch_size=8, verbose=0).history
    taught, learnt = distiller.teacher.predict(FEATURES, verbose=0), student(FEATURES).numpy()
    soft = soft_targets_oracle(taught, learnt, 4.0).mean()
    hard = cross_entropy_oracle(LABELS, learnt).mean()
    assert history["soft_loss"][0] == pytest.approx(soft, rel=1e-5)
    assert history["hard_loss"][0] == pytest.approx(hard, rel=1e-5)
    assert history["loss"][0] == pytest.approx(0.5 * hard + 0.5 * soft, rel=1e-5)


class CountingModel(keras.Model):
    """Counts its passes, in training and in inference."""

    def __init__(self, width=5, name=None):
        super().__init__(name=name)
        self.hidden = layers.Dense(width, activation="relu", name="hidden")
        self.norm = layers.BatchNormalization(name="norm")
        self.dropout = layers.Dropout(0.3)
        self.head = layers.Dense(CLASSES, name="logits")
        self.passes = {True: 0, False: 0}
        self(FEATURES[:2])
        self.passes = {True: 0, False: 0}

    def call(self, inputs, training=False):
        self.passes[bool(training)] += 1
        hidden = self.dropout(self.norm(self.hidden(inputs), training=training), training=training)
        return self.head(hidden)


@pytest.mark.long
def test_the_step_is_traced_once():
    """Variables that the first trace creates would cost a second one."""
    student, teacher = CountingModel(name="student"), CountingModel(name="teacher")
    objective = Objective(
        losses.FeatureMSE(), teacher_layer="hidden", student_layer="logits", projector="auto"
    )
    distiller = Distiller(student=student, teacher=teacher, objectives=[objective])
    distiller.compile("adam", loss=sparse_ce(), metrics=["accuracy"])
    distiller.fit(FEATURES, LABELS, batch_size=8, epochs=2, verbose=0)
    assert student.passes[True] == 1


@pytest.mark.long_but_first
@pytest.mark.parametrize("num_objectives", [0, 1, 3])
def test_one_student_pass_per_step(num_objectives):
    student, teacher = CountingModel(name="student"), CountingModel(name="teacher")
    objectives = [
        Objective(losses.FeatureMSE(), teacher_layer=layer, student_layer=layer, name=f"hint_{i}")
        for i, layer in enumerate(["hidden", "norm", "logits"][:num_objectives])
    ]
    distiller = Distiller(student=student, teacher=teacher, objectives=objectives)
    distiller.compile("adam", loss=sparse_ce(), run_eagerly=True)
    distiller.fit(FEATURES, LABELS, batch_size=13, verbose=0, epochs=2)
    assert student.passes[True] == 4
    assert teacher.passes[True] == 0
    distiller.fit(FEATURES, LABELS, batch_size=13, verbose=0)
    # The first batch of the first fit was looked at; no later one is.
    before = dict(teacher.passes), dict(student.passes)
    distiller.fit(FEATURES, LABELS, batch_size=13, verbose=0)
    assert teacher.passes[False] - before[0][False] == 2
    assert student.passes[True] - before[1][True] == 2
    assert student.passes[False] == before[1][False]


def test_teacher_stays_as_it_was():
    """Weights, flags, BatchNorm statistics and compile state of the user's model."""
    teacher = CountingModel(name="teacher")
    teacher.compile("sgd", loss="mse")
    teacher.head.trainable = False
    before = [variable.numpy() for variable in teacher.variables]
    flags = [layer.trainable for layer in teacher._flatten_layers()]
    optimizer, loss = teacher.optimizer, teacher.loss
    distiller = Distiller(student=mlp(), teacher=teacher)
    distiller.compile("adam", loss=sparse_ce())
    distiller.fit(FEATURES, LABELS, verbose=0)
    for expected, variable in zip(before, teacher.variables):
        np.testing.assert_array_equal(variable.numpy(), expected)
    assert flags == [layer.trainable for layer in teacher._flatten_layers()]
    assert (teacher.optimizer, teacher.loss, teacher.compiled) == (optimizer, loss, True)
    assert not {id(v) for v in teacher.variables} & {id(v) for v in distiller.variables}


def test_teacher_gets_no_gradient():
    """A teacher that shares a variable with the outside is not differentiated through."""
    scale = tf.Variable(2.0)
    student = mlp()
    distiller = Distiller(
        student=student, teacher=lambda x: scale * tf.ones((tf.shape(x)[0], CLASSES)), alpha=0.0
    )
    with tf.GradientTape() as tape:
        activations = distiller._teacher_pass(DistillationInputs(FEATURES), with_output=True)
        total = tf.reduce_sum(activations["output"])
    assert tape.gradient(total, scale) is None


@pytest.mark.long_but_first
@pytest.mark.parametrize("validation", ["evaluate", "validation_data", "predict"])
def test_evaluation_runs_the_student_alone_and_changes_nothing(validation):
    def teacher(x):
        raise AssertionError("The teacher ran.")

    student = CountingModel(name="student")
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile("adam", loss=sparse_ce(), metrics=["accuracy"])
    student.compile("adam", loss=sparse_ce(), metrics=["accuracy"])
    before = [variable.numpy() for variable in student.weights]
    if validation == "predict":
        distiller.predict(FEATURES, verbose=0)
    elif validation == "evaluate":
        actual = distiller.evaluate(FEATURES, LABELS, verbose=0, batch_size=8)
        assert actual == pytest.approx(student.evaluate(FEATURES, LABELS, verbose=0, batch_size=8))
    else:
        distiller.teacher = mlp()
        # Training that moves nothing leaves what validation does.
        distiller.compile(keras.optimizers.SGD(0.0), loss=sparse_ce())
        student.norm.momentum = 1.0
        data = FEATURES, LABELS
        distiller.fit(*data, validation_data=data, epochs=2, verbose=0, batch_size=26)
    for expected, variable in zip(before, student.weights):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6)


def test_evaluation_before_training_needs_no_teacher():
    """Not even for the shapes of projectors; and training afterwards trains these as well."""

    class Teacher:
        model, may_run = mlp(9, "teacher"), False

        def __call__(self, x):
            assert self.may_run
            return {"output": self.model(x), "hidden": self.model.layers[0](x)}

    teacher = Teacher()
    objective = Objective(
        losses.FeatureMSE(),
        teacher_layer="hidden",
        student_layer="hidden",
        projector="auto",
        name="hint",
    )
    distiller = Distiller(student=mlp(), teacher=teacher, objectives=[objective])
    distiller.compile("adam", loss=sparse_ce(), metrics=["accuracy"])
    assert len(distiller.evaluate(FEATURES, LABELS, verbose=0)) == 2
    teacher.may_run = True
    distiller.fit(FEATURES, LABELS, epochs=2, verbose=0)
    assert any(v is objective.projector.kernel for v in distiller.optimizer._trainable_variables)


def test_alpha_of_zero_is_not_disturbed_by_the_hard_loss():
    """0 times infinity would be no number."""
    student = mlp()
    distiller = Distiller(student=student, teacher=mlp(9, "teacher"), alpha=0.0)

    class Infinite(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return tf.fill(tf.shape(y_pred)[:1], float("inf"))

    logs = logs_of_one_step(distiller, FEATURES, LABELS, loss=Infinite())
    assert logs["loss"] == pytest.approx(logs["soft_loss"], rel=1e-6)
    assert np.isfinite(student.get_weights()[0]).all()


def test_validate_with_teacher():
    objective = Objective(
        losses.FeatureMSE(), teacher_layer="hidden", student_layer="hidden", name="hint", weight=2.0
    )
    student, teacher = mlp(), mlp(name="teacher")
    distiller = Distiller(
        student=student,
        teacher=teacher,
        alpha=0.25,
        objectives=[objective],
        validate_with_teacher=True,
    )
    distiller.compile("adam", loss=sparse_ce())
    logs = distiller.evaluate(FEATURES, LABELS, verbose=0, return_dict=True)
    taught, learnt = teacher(FEATURES).numpy(), student(FEATURES).numpy()
    soft = soft_targets_oracle(taught, learnt, 4.0).mean()
    hard = cross_entropy_oracle(LABELS, learnt).mean()
    hidden = [model.layers[0](FEATURES).numpy() for model in (teacher, student)]
    hint = np.square(hidden[0] - hidden[1]).mean()
    assert logs["loss"] == pytest.approx(0.25 * hard + 0.75 * soft + 2 * hint, rel=1e-5)
    assert logs["soft_loss"] == pytest.approx(soft, rel=1e-5)
    assert logs["hint"] == pytest.approx(hint, rel=1e-5)


def test_schedules_are_read_at_the_optimizers_step():
    student = mlp()
    objective = Objective(
        losses.LogitsMSE(),
        teacher_layer="logits",
        student_layer="logits",
        weight=PiecewiseConstantDecay([0], [5.0, 0.0]),
        name="hint",
    )
    distiller = Distiller(
        student=student,
        teacher=mlp(9, "teacher"),
        alpha=PiecewiseConstantDecay([0], [1.0, 0.25]),
        temperature=PolynomialDecay(4.0, decay_steps=2, end_learning_rate=2.0),
        objectives=[objective],
    )
    distiller.compile(keras.optimizers.SGD(0.0), loss=sparse_ce())
    taught, learnt = distiller.teacher(FEATURES).numpy(), student(FEATURES).numpy()
    hard = cross_entropy_oracle(LABELS, learnt).mean()
    for step, (alpha, temperature, weight) in enumerate(
        [(1.0, 4.0, 5.0), (0.25, 3.0, 0.0), (0.25, 2.0, 0.0)]
    ):
        distiller.reset_metrics()  # Keras before 3.15 gives means over the calls.
        logs = distiller.train_on_batch(FEATURES, LABELS, return_dict=True)
        soft = soft_targets_oracle(taught, learnt, temperature).mean()
        total = alpha * hard + (1 - alpha) * soft + weight * np.square(taught - learnt).mean()
        assert logs["loss"] == pytest.approx(total, rel=1e-5), step
        assert logs["soft_loss"] == pytest.approx(soft, rel=1e-5), step


def test_sample_weight_reaches_soft_loss_and_objectives():
    weights = RNG.uniform(size=26).astype("float32")
    student = mlp()
    objective = Objective(
        losses.FeatureMSE(), teacher_layer="logits", student_layer="logits", name="hint"
    )
    distiller = Distiller(student=student, teacher=mlp(9, "teacher"), objectives=[objective])
    logs = logs_of_one_step(distiller, FEATURES, LABELS, weights)
    taught, learnt = distiller.teacher(FEATURES).numpy(), student(FEATURES).numpy()
    soft = (weights * soft_targets_oracle(taught, learnt, 4.0)).mean()
    hint = (weights * np.square(taught - learnt).mean(-1)).mean()
    assert logs["soft_loss"] == pytest.approx(soft, rel=1e-5)
    assert logs["hint"] == pytest.approx(hint, rel=1e-5)


def test_class_weight_reaches_the_soft_loss():
    class_weight = {0: 2.0, 1: 0.0, 2: 1.0, 3: 0.5}
    student = mlp()
    distiller = Distiller(student=student, teacher=mlp(9, "teacher"), alpha=0.0)
    distiller.compile(keras.optimizers.SGD(0.0))
    history = distiller.fit(FEATURES, LABELS, class_weight=class_weight, verbose=0).history
    taught, learnt = distiller.teacher(FEATURES).numpy(), student(FEATURES).numpy()
    weights = np.array([class_weight[label] for label in LABELS])
    soft = (weights * soft_targets_oracle(taught, learnt, 4.0)).mean()
    assert history["soft_loss"][0] == pytest.approx(soft, rel=1e-5)


@pytest.mark.parametrize("weight_rank", [0, 1, 2])
def test_token_level_masks_and_weights(weight_rank):
    """Padding counts in no term, and a weight per sentence holds for each of its tokens."""
    ids = RNG.integers(1, 9, (6, 5))
    ids[:, 3:] = 0
    labels = RNG.integers(0, CLASSES, (6, 5))
    student, teacher = (
        keras.Sequential(
            [keras.Input((5,)), layers.Embedding(9, 4, mask_zero=True), layers.Dense(CLASSES)]
        )
        for _ in range(2)
    )
    distiller = Distiller(student=student, teacher=teacher, alpha=0.0)
    weights = [None, RNG.uniform(size=6), RNG.uniform(size=(6, 5))][weight_rank]
    logs = logs_of_one_step(distiller, ids, labels, weights, loss=None)
    taught, learnt = teacher(ids).numpy()[:, :3], student(ids).numpy()[:, :3]
    values = soft_targets_oracle(taught, learnt, 4.0)
    if weight_rank:
        values = values * (weights[:, None] if weight_rank == 1 else weights[:, :3])
    assert logs["soft_loss"] == pytest.approx(values.mean(), rel=1e-5)


def test_dense_outputs():
    images = RNG.normal(size=(3, 5, 5, 2)).astype("float32")
    student, teacher = (
        keras.Sequential([keras.Input((5, 5, 2)), layers.Conv2D(CLASSES, 1)]) for _ in range(2)
    )
    logs = logs_of_one_step(
        Distiller(student=student, teacher=teacher), images, RNG.integers(0, CLASSES, (3, 5, 5))
    )
    soft = soft_targets_oracle(teacher(images), student(images), 4.0).mean()
    assert logs["soft_loss"] == pytest.approx(soft, rel=1e-5)


def test_half_labelled_data():
    """Unlabelled examples count in the soft loss only."""
    student, teacher = mlp(), mlp(9, "teacher")
    labels = np.where(np.arange(26) < 10, LABELS, -1)
    logs = logs_of_one_step(
        Distiller(student=student, teacher=teacher),
        FEATURES,
        labels,
        loss=sparse_ce(ignore_class=-1),
    )
    taught, learnt = teacher(FEATURES).numpy(), student(FEATURES).numpy()
    hard = cross_entropy_oracle(LABELS[:10], learnt[:10]).mean()
    assert logs["hard_loss"] == pytest.approx(hard, rel=1e-5)
    soft = soft_targets_oracle(taught, learnt, 4.0).mean()
    assert logs["soft_loss"] == pytest.approx(soft, rel=1e-5)


def test_no_labels():
    """Unlabelled data trains on the soft loss, even with metrics, and validates with labels."""
    student, teacher = mlp(), mlp(9, "teacher")
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile("adam", loss=sparse_ce(), metrics=["accuracy"])
    validation = FEATURES, LABELS
    history = distiller.fit(FEATURES, validation_data=validation, epochs=2, verbose=0).history
    assert set(history) == {"loss", "hard_loss", "soft_loss", "val_loss", "val_accuracy"}
    assert history["hard_loss"] == [0.0, 0.0]
    np.testing.assert_allclose(history["loss"], 0.9 * np.array(history["soft_loss"]), rtol=1e-5)
    unlabelled = tf.data.Dataset.from_tensor_slices(FEATURES).batch(8)
    assert distiller.fit(unlabelled, shuffle=False, verbose=0).history["soft_loss"][0] > 0


def test_metrics_of_labels_are_left_out_without_labels():
    """Validation builds them; then a step that sees no labels would report an accuracy of 0."""
    distiller = Distiller(student=mlp(), teacher=mlp(9, "teacher"), alpha=0.0)
    distiller.compile("adam", loss=sparse_ce(), metrics=["accuracy"], run_eagerly=True)
    validation = FEATURES, LABELS
    history = distiller.fit(FEATURES, validation_data=validation, epochs=2, verbose=0).history
    assert set(history) == {"loss", "hard_loss", "soft_loss", "val_loss", "val_accuracy"}


def test_validation_without_a_loss_reports_none():
    """Not a loss of 0 that a ModelCheckpoint would take for perfect."""
    distiller = Distiller(student=mlp(), teacher=mlp(9, "teacher"), alpha=0.0)
    distiller.compile("adam", metrics=["accuracy"])
    data = FEATURES, LABELS
    history = distiller.fit(*data, validation_data=data, verbose=0).history
    assert "val_loss" not in history
    assert "val_accuracy" in history


def two_heads(name, order=("first", "second"), as_list=False):
    inputs = keras.Input((6,))
    heads = {
        "first": layers.Dense(3, name="first")(inputs),
        "second": layers.Dense(2, name="second")(inputs),
    }
    outputs = list(heads.values()) if as_list else {key: heads[key] for key in order}
    return keras.Model(inputs, outputs, name=name)


@pytest.mark.parametrize("student_is_list", [False, True])
@pytest.mark.parametrize("teacher_is_list", [False, True])
def test_several_outputs_meet_by_name(student_is_list, teacher_is_list):
    student = two_heads("student", as_list=student_is_list)
    teacher = two_heads("teacher", order=("second", "first"), as_list=teacher_is_list)
    if teacher_is_list and not student_is_list:
        with pytest.raises(ValueError, match="every output of the student, under the same name"):
            logs_of_one_step(Distiller(student=student, teacher=teacher), FEATURES)
        return
    logs = logs_of_one_step(Distiller(student=student, teacher=teacher), FEATURES)
    soft = 0.0
    for name in ("first", "second"):
        taught, learnt = (
            FEATURES @ model.get_layer(name).kernel.numpy() for model in (teacher, student)
        )
        soft += soft_targets_oracle(taught, learnt, 4.0).mean()
    assert logs["soft_loss"] == pytest.approx(soft, rel=1e-5)


@pytest.mark.parametrize(
    "soft_loss",
    [
        {"first": losses.SoftTargetKL(2.0)},
        [losses.SoftTargetKL(2.0), None],
    ],
    ids=["dict", "list"],
)
def test_a_loss_for_one_of_several_outputs(soft_loss):
    student, teacher = (two_heads(name, as_list=True) for name in ("student", "teacher"))
    y = [LABELS % 3, LABELS % 2]
    distiller = Distiller(student=student, teacher=teacher, soft_loss=soft_loss)
    logs = logs_of_one_step(distiller, FEATURES, y, loss=[sparse_ce(), sparse_ce()])
    taught, learnt = (
        FEATURES @ model.get_layer("first").kernel.numpy() for model in (teacher, student)
    )
    soft = soft_targets_oracle(taught, learnt, 2.0).mean()
    assert logs["soft_loss"] == pytest.approx(soft, rel=1e-5)


def test_weights_of_each_output():
    student, teacher = (two_heads(name) for name in ("student", "teacher"))
    weights = {"first": RNG.uniform(size=26), "second": np.zeros(26)}
    y = {"first": LABELS % 3, "second": LABELS % 2}
    distiller = Distiller(student=student, teacher=teacher)
    loss = {"first": sparse_ce(), "second": sparse_ce()}
    logs = logs_of_one_step(distiller, FEATURES, y, weights, loss=loss)
    taught, learnt = (
        FEATURES @ model.get_layer("first").kernel.numpy() for model in (teacher, student)
    )
    soft = (weights["first"] * soft_targets_oracle(taught, learnt, 4.0)).mean()
    assert logs["soft_loss"] == pytest.approx(soft, rel=1e-5)


def test_weights_of_the_only_output_with_a_loss():
    """The second output's weights, not the first's, when only it has a soft loss."""
    student, teacher = (two_heads(name, as_list=True) for name in ("student", "teacher"))
    weights = [np.zeros(26), RNG.uniform(size=26)]
    distiller = Distiller(
        student=student, teacher=teacher, soft_loss=[None, losses.SoftTargetKL(2.0)]
    )
    y = [LABELS % 3, LABELS % 2]
    logs = logs_of_one_step(distiller, FEATURES, y, weights, loss=[sparse_ce(), sparse_ce()])
    taught, learnt = (
        FEATURES @ model.get_layer("second").kernel.numpy() for model in (teacher, student)
    )
    soft = (weights[1] * soft_targets_oracle(taught, learnt, 2.0)).mean()
    assert logs["soft_loss"] == pytest.approx(soft, rel=1e-5)


def test_any_keras_loss_as_soft_loss():
    student, teacher = mlp(), mlp(9, "teacher")
    distiller = Distiller(
        student=student, teacher=teacher, soft_loss=keras.losses.MeanSquaredError()
    )
    logs = logs_of_one_step(distiller, FEATURES, LABELS)
    squares = np.square(teacher(FEATURES) - student(FEATURES))
    assert logs["soft_loss"] == pytest.approx(squares.mean(), rel=1e-5)


@pytest.mark.long_but_first
@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "mixed_bfloat16"])
def test_teacher_of_another_dtype_policy(policy):
    student = mlp()
    teacher = keras.Sequential([keras.Input((6,)), layers.Dense(CLASSES, dtype=policy)])
    logs = logs_of_one_step(Distiller(student=student, teacher=teacher), FEATURES, LABELS)
    taught = teacher(FEATURES).numpy().astype("float64")
    soft = soft_targets_oracle(taught, student(FEATURES), 4.0).mean()
    assert logs["soft_loss"] == pytest.approx(soft, rel=1e-4)


def test_objective_on_several_layers_and_outputs():
    """Taps of nested and dict-valued places, in the one pass."""
    student = two_heads("student")
    inputs = keras.Input((6,))
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(8, name="deep")], name="inner")
    hidden = inner(inputs)
    outputs = {"first": layers.Dense(3)(hidden), "second": layers.Dense(2)(hidden)}
    teacher = keras.Model(inputs, {**outputs, "states": [inputs, hidden]})
    objectives = [
        Objective(
            losses.FeatureMSE(),
            teacher_layer="inner/deep",
            student_layer="second",
            projector="auto",
            name="deep",
        ),
        Objective(
            losses.FeatureMSE(),
            teacher_layer="states[1]",
            student_layer="output/first",
            projector="auto",
            name="key",
        ),
    ]
    distiller = Distiller(student=student, teacher=teacher, objectives=objectives)
    logs = logs_of_one_step(distiller, FEATURES)
    deep = teacher.get_layer("inner")(FEATURES).numpy()
    for objective, output in zip(objectives, ("second", "first")):
        projected = objective.projector(student(FEATURES)[output]).numpy()
        value = np.square(deep - projected).mean()
        assert logs[objective.name] == pytest.approx(value, rel=1e-5)


def test_temperature_of_an_objective_follows_its_schedule():
    """As that of a soft loss."""
    temperature = PolynomialDecay(4.0, decay_steps=2, end_learning_rate=2.0)
    objective = Objective(
        losses.SoftTargetKL(temperature),
        teacher_layer="logits",
        student_layer="logits",
        name="logits",
    )
    distiller = Distiller(
        student=mlp(), teacher=mlp(9, "teacher"), alpha=1.0, objectives=[objective]
    )
    distiller.compile(keras.optimizers.SGD(0.0), loss=sparse_ce())
    taught, learnt = distiller.teacher(FEATURES).numpy(), distiller.student(FEATURES).numpy()
    for temperature in (4.0, 3.0, 2.0):
        distiller.reset_metrics()
        logs = distiller.train_on_batch(FEATURES, LABELS, return_dict=True)
        expected = soft_targets_oracle(taught, learnt, temperature).mean()
        assert logs["logits"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.long_but_first
@pytest.mark.parametrize("kind", ["arrays", "dataset", "one_hot"])
def test_class_weights_of_data_that_is_half_unlabelled(kind):
    """-1 is no label: it has no class weight, and counts 1 in the soft loss."""
    x = np.random.default_rng(1).normal(size=(12, 5)).astype("float32")
    y = np.arange(12) % 3 - (np.arange(12) % 2) * 9
    y = np.where(y < 0, -1, y)
    weights = {0: 1.0, 1: 5.0, 2: 0.5}
    student, teacher = (
        keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)]) for _ in range(2)
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    labels = y
    if kind == "one_hot":
        labels, loss = np.eye(3)[np.maximum(y, 0)], keras.losses.CategoricalCrossentropy(True)
    given = np.array(
        [weights.get(int(c), 1.0) for c in (np.maximum(y, 0) if kind == "one_hot" else y)]
    )
    histories = []
    for fit_args in ({"sample_weight": given}, {"class_weight": weights}):
        distiller = Distiller(student=student, teacher=teacher, alpha=0.5)
        distiller.compile(keras.optimizers.SGD(0.0), loss)
        data = (x, labels)
        if kind != "arrays" and "class_weight" in fit_args:
            data = (tf.data.Dataset.from_tensor_slices(data).batch(4), None)
        history = distiller.fit(
            *data,
            batch_size=4 * (data[1] is not None) or None,
            shuffle=False,
            verbose=0,
            **fit_args,
        ).history
        histories.append(history)
    for name, expected in histories[0].items():
        np.testing.assert_allclose(histories[1][name], expected, rtol=1e-6)


@pytest.mark.long_but_first
@pytest.mark.parametrize("own_axis", [False, True])
def test_class_weights_of_the_labels_of_tokens(own_axis):
    """The largest label of a text is not the class of each of its tokens."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(8, 4, 5)).astype("float32"), rng.integers(0, 3, (8, 4))
    student, teacher = (
        keras.Sequential([keras.Input((4, 5)), keras.layers.Dense(3)]) for _ in range(2)
    )
    distiller = Distiller(student=student, teacher=teacher, alpha=0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(0.0), loss)
    class_weight = {0: 1.0, 1: 10.0, 2: 100.0}
    expected = distiller.fit(
        x, y, sample_weight=np.array([1.0, 10.0, 100.0])[y], batch_size=4, shuffle=False, verbose=0
    )
    labels = y[..., np.newaxis] if own_axis else y
    distiller.compile(keras.optimizers.SGD(0.0), loss)  # Labels of another rank: another trace.
    data = tf.data.Dataset.from_tensor_slices((x, labels)).batch(4)
    actual = distiller.fit(data, class_weight=class_weight, shuffle=False, verbose=0)
    for name, values in expected.history.items():
        np.testing.assert_allclose(actual.history[name], values, rtol=1e-6, err_msg=name)
    with pytest.raises(ValueError, match="class_weight of arrays needs one label for each example"):
        distiller.fit(x, labels, class_weight=class_weight, verbose=0)


def test_weights_of_tokens_and_a_soft_loss_of_examples():
    """Such a loss has one value for each example, which gets the mean of its weights."""
    rng = np.random.default_rng(1)
    x, weights = rng.normal(size=(8, 4, 5)).astype("float32"), rng.random((8, 4))
    student, teacher = (
        keras.Sequential([keras.Input((4, 5)), keras.layers.Dense(3)]) for _ in range(2)
    )
    values = []
    for w in (weights, weights.mean(axis=1)):
        distiller = Distiller(
            student=student, teacher=teacher, alpha=0.0, soft_loss=losses.SimilarityPreserving()
        )
        distiller.compile(keras.optimizers.SGD(0.0))
        data = tf.data.Dataset.from_tensor_slices((x, (), w)).batch(4)
        values += distiller.fit(data, shuffle=False, verbose=0).history["soft_loss"]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
def test_thirty_fits_leave_no_threads():
    """What a fit leaves is collected with its model: in a process of their own, 30 end as one."""
    script = """
import gc, os
import keras, numpy as np, tensorflow as tf
import keras_distill as kd

def model(units):
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(units), keras.layers.Dense(3)])

x, y, teacher, counts = np.ones((16, 8), "float32"), np.arange(16) % 3, model(16), []
for i in range(30):
    distiller = kd.Distiller(student=model(4), teacher=teacher)
    distiller.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    distiller.fit(*((x, y) if i % 2 else (data,)), shuffle=False, verbose=0)
    del distiller
    gc.collect()
    counts.append(len(os.listdir("/proc/self/task")))
print(max(counts[5:]) - max(counts[:5]))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    # The pool of TensorFlow may grow by some, not with the fits.
    assert int(run.stdout.split()[-1]) <= 5, run.stdout
