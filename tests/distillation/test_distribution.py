"""MirroredStrategy on two devices trains like one device on the same global batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import Objective
from keras_distill import TeacherStore
from keras_distill import losses

CLASSES = 4
RNG = np.random.default_rng(3)
FEATURES = RNG.normal(size=(32, 6)).astype("float32")
LABELS = RNG.integers(0, CLASSES, 32)


def mlp(width, name, **head):
    hidden = layers.Dense(width, "relu", kernel_regularizer="l2", name="hidden")
    head = layers.Dense(CLASSES, name="logits", **head)
    return keras.Sequential([keras.Input((6,)), hidden, head], name=name)


def train(
    strategy,
    data,
    epochs=2,
    make_student=lambda: mlp(5, "student"),
    make_teacher=lambda: mlp(9, "teacher"),
    objectives=lambda: (),
    validate=True,
    **kwargs,
):
    with strategy.scope():
        keras.utils.set_random_seed(5)
        student, teacher = make_student(), make_teacher()
        distiller = Distiller(student=student, teacher=teacher, objectives=objectives(), **kwargs)
        distiller.compile(
            keras.optimizers.SGD(0.1, momentum=0.9),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    validation_data = data if validate else None
    history = distiller.fit(
        data, epochs=epochs, shuffle=False, verbose=0, validation_data=validation_data
    )
    return student, distiller, history.history


def assert_same_on_two_devices(two_devices, data, rtol=1e-5, **kwargs):
    one = train(tf.distribute.get_strategy(), data, **kwargs)
    assert_same(one, train(two_devices, data, **kwargs), rtol)


def assert_same(one, two, rtol=1e-5):
    assert two[1].distribute_strategy.num_replicas_in_sync == 2
    for expected, actual in zip(one[1].get_weights(), two[1].get_weights()):
        np.testing.assert_allclose(actual, expected, atol=1e-6, rtol=0)
    assert one[2].keys() == two[2].keys()
    for name, expected in one[2].items():
        np.testing.assert_allclose(two[2][name], expected, rtol=rtol, atol=1e-6, err_msg=name)


def dataset(x=FEATURES, y=LABELS, batch_size=16):
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    data = tf.data.Dataset.from_tensor_slices((x, y) if y is not None else (x,))
    return data.batch(batch_size).with_options(options)


@pytest.mark.long
def test_soft_losses(two_devices):
    """Function losses would double the step: their sum over replicas is not the mean."""
    soft_losses = {
        "kl": losses.SoftTargetKL(),
        "kl_sum": losses.SoftTargetKL(2.0, reduction="sum"),
        "binary": losses.BinarySoftTargets(),
        "logits_mse": losses.LogitsMSE(),
        "keras_mse": keras.losses.MeanSquaredError(),
    }

    def make_model(width):
        inputs = keras.Input((6,))
        hidden = layers.Dense(width, "relu")(inputs)
        outputs = {name: layers.Dense(CLASSES, name=name)(hidden) for name in soft_losses}
        return keras.Model(inputs, outputs)

    assert_same_on_two_devices(
        two_devices,
        dataset(y=None),
        make_student=lambda: make_model(5),
        make_teacher=lambda: make_model(9),
        soft_loss=soft_losses,
        alpha=0.0,
        validate=False,
    )


@pytest.mark.long
def test_objectives(two_devices):
    """Taps of two replicas, traced in two threads, do not mix."""

    def objectives():
        return [
            Objective(
                losses.FeatureMSE(),
                teacher_layer="hidden",
                student_layer="hidden",
                projector="auto",
            ),
            Objective(
                losses.FeatureCosine(),
                teacher_layer="hidden",
                student_layer="hidden",
                projector="auto",
            ),
        ]

    assert_same_on_two_devices(two_devices, dataset(), objectives=objectives)


@pytest.mark.long
def test_metrics_of_an_uneven_last_batch(two_devices):
    """14 and 2 examples: a mean of batch means would be wrong."""
    data = dataset(FEATURES[:30], LABELS[:30])
    _, distiller, history = train(two_devices, data, epochs=1, alpha=0.5)
    evaluation = distiller.evaluate(data, verbose=0, return_dict=True)
    logits = distiller.student.predict(FEATURES[:30], verbose=0)
    accuracy = (logits.argmax(-1) == LABELS[:30]).mean()
    assert evaluation["accuracy"] == pytest.approx(accuracy)
    assert history["val_accuracy"][0] == pytest.approx(accuracy)


@pytest.mark.long
def test_carried_outputs_without_teacher_inputs(two_devices):
    outputs = RNG.normal(size=(32, CLASSES)).astype("float32")

    def to_inputs(x, y, taught):
        return DistillationInputs(x, teacher_outputs=taught), y

    data = tf.data.Dataset.from_tensor_slices((FEATURES, LABELS, outputs)).batch(16)
    assert_same_on_two_devices(two_devices, data.map(to_inputs))


@pytest.mark.long
def test_stored_outputs(two_devices, tmp_path):
    """Each replica gets what was stored for its own part of the batch."""
    examples = tf.data.Dataset.from_tensor_slices((FEATURES, LABELS))
    teacher = mlp(9, "teacher")
    store = TeacherStore.build(examples, teacher, tmp_path / "s", dtype="float32", verbose=0)
    of_examples, of_batches = store.attach(examples).batch(16), store.attach(examples.batch(16))
    expected = train(tf.distribute.get_strategy(), of_examples)
    for data in (of_examples, of_batches):
        assert_same(expected, train(two_devices, data))


@pytest.mark.long
def test_unlabelled(two_devices):
    assert_same_on_two_devices(two_devices, dataset(y=None), alpha=0.0, validate=False)


@pytest.mark.long
def test_softmax_student(two_devices):
    def make_student():
        return mlp(5, "student", activation="softmax")

    data = dataset(y=None)
    assert_same_on_two_devices(
        two_devices, data, make_student=make_student, alpha=0.0, validate=False
    )


@pytest.mark.long
def test_attention_taps(two_devices):
    def make_student():
        inputs = keras.Input((6,))
        hidden = layers.Reshape((3, 2))(inputs)
        hidden = layers.MultiHeadAttention(2, 3, name="attention")(hidden, hidden)
        return keras.Model(inputs, layers.Dense(CLASSES)(layers.Flatten()(hidden)), name="student")

    def objectives():
        projector = keras.Sequential([layers.Flatten(), layers.Dense(CLASSES)])
        scores = "attention/attention_scores"
        return [
            Objective(
                losses.FeatureMSE(),
                teacher_layer="output",
                student_layer=scores,
                projector=projector,
            )
        ]

    assert_same_on_two_devices(
        two_devices, dataset(), make_student=make_student, objectives=objectives
    )
