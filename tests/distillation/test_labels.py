"""Labels that the loss cannot take get one error that says so; those that Keras takes get none."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from keras import losses

import keras_distill as kd
from keras_distill import teaching

X = np.random.default_rng(0).normal(size=(12, 6)).astype("float32")
Y = np.arange(12) % 3
ONE_HOT = keras.utils.to_categorical(Y, 3)
SPARSE = losses.SparseCategoricalCrossentropy
CATEGORICAL = losses.CategoricalCrossentropy


def dense(units=3, activation=None, width=5, **kwargs):
    hidden = layers.Dense(width, "relu")
    return keras.Sequential([keras.Input((6,)), hidden, layers.Dense(units, activation)], **kwargs)


def distiller(loss=None, **kwargs):
    # The default soft loss is for one class each.
    several = loss is losses.BinaryCrossentropy
    soft_loss = kd.losses.BinarySoftTargets() if several else None
    student, teacher = dense(**kwargs), dense(**kwargs)
    return kd.Distiller(student=student, teacher=teacher, soft_loss=soft_loss)


def peers(loss=None, **kwargs):
    return teaching.MutualLearning([dense(name=name, **kwargs) for name in ("one", "other")])


def dataset(y, batch_size=12):
    return tf.data.Dataset.from_tensor_slices((X, y)).batch(batch_size)


BAD = {
    "one_hot": (SPARSE, ONE_HOT, r"y must be the number of each.*Received: shape .*\(.*, 3\)"),
    "numbers": (CATEGORICAL, Y, r"y must be one-hot, with 3 .*Received: shape .*to_categorical"),
    "column": (CATEGORICAL, Y[:, None], r"y must be one-hot, with 3 .*\(.*, 1\)"),
    "focal": (losses.CategoricalFocalCrossentropy, Y, "y must be one-hot"),
    "from_one": (SPARSE, Y + 1, r"y must be classes from 0 to 2.*labels from 1 to 3\. Give y - 1"),
    "fractions": (SPARSE, Y + 0.5, r"y must be whole numbers.*labels such as 0\.5"),
    "binary": (losses.BinaryCrossentropy, ONE_HOT + 1, "y must be from 0 to 1.*Give y - 1"),
}


@pytest.mark.parametrize("make", [distiller, peers])
@pytest.mark.parametrize(("loss", "y", "message"), BAD.values(), ids=BAD)
def test_bad_labels(make, loss, y, message):
    learner = make(loss)
    learner.compile("sgd", loss(from_logits=True))
    before = [student.get_weights() for student in learner.students]
    for data in ((X, y), (dataset(y),), ((batch for batch in dataset(y)),)):
        with pytest.raises(ValueError, match=message) as raised:
            learner.fit(*data, shuffle=False, verbose=0)
        assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match=re.sub("^y", "y of validation_data", message)):
        learner.fit(X, Y if loss is SPARSE else ONE_HOT, validation_data=(X, y), verbose=0)
    with pytest.raises(ValueError, match=message):
        learner.train_on_batch(X, y)
    after = [student.get_weights() for student in learner.students]
    keras.tree.map_structure(np.testing.assert_array_equal, after, before)


@pytest.mark.parametrize(
    "name", ["sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"]
)
def test_bad_labels_of_a_loss_by_name(name):
    learner = distiller(activation="softmax")
    learner.compile("sgd", name)
    with pytest.raises(ValueError, match=r"losses\.CategoricalCrossentropy\(\)"):
        learner.fit(X, ONE_HOT, verbose=0)


def test_bad_labels_of_one_output():
    inputs = keras.Input((6,))
    heads = {name: layers.Dense(3, name=name)(inputs) for name in ("a", "b")}
    student = keras.Model(inputs, heads)
    learner = kd.Distiller(student=student, alpha=1.0)
    learner.compile("sgd", {"a": SPARSE(from_logits=True), "b": CATEGORICAL(from_logits=True)})
    learner.fit(X, {"a": Y, "b": ONE_HOT}, verbose=0)
    with pytest.raises(ValueError, match="must be one-hot"):
        learner.fit(X, {"a": Y, "b": Y}, verbose=0)
    with pytest.raises(ValueError, match="must be the number of each"):
        learner.fit(X, {"a": ONE_HOT, "b": ONE_HOT}, verbose=0)


GOOD = {
    "column": (SPARSE, Y[:, None]),
    "floats": (SPARSE, Y.astype("float32")),
    "small": (SPARSE, Y.astype("int8")),
    "one_hot": (CATEGORICAL, ONE_HOT),
    "integers": (CATEGORICAL, ONE_HOT.astype("int32")),
    "soft": (CATEGORICAL, ONE_HOT * 0.7 + 0.1),
    "several": (losses.BinaryCrossentropy, ONE_HOT),
    "regression": (losses.MeanSquaredError, X[:, :3]),
}


@pytest.mark.parametrize(("loss", "y"), GOOD.values(), ids=GOOD)
def test_labels_that_keras_takes(loss, y):
    given = {} if loss is losses.MeanSquaredError else {"from_logits": True}
    for data in ((X, y), (dataset(y, 5),)):
        learner = distiller(loss)
        learner.compile("sgd", loss(**given))
        learner.fit(*data, shuffle=False, verbose=0)


def test_smoothed_labels():
    learner = distiller()
    learner.compile("sgd", CATEGORICAL(from_logits=True, label_smoothing=0.1))
    learner.fit(X, ONE_HOT, verbose=0)


@pytest.mark.parametrize("y", [Y % 2, (Y % 2)[:, None], Y / 2, Y % 2 + 0.0], ids=str)
def test_binary_labels(y):
    learner = kd.Distiller(student=dense(1), alpha=1.0)
    learner.compile("sgd", losses.BinaryCrossentropy(from_logits=True))
    learner.fit(X, y, verbose=0)


def test_a_loss_of_ones_own_reads_what_it_wants():
    class Own(SPARSE):
        def call(self, y_true, y_pred):
            return super().call(keras.ops.argmax(y_true, axis=-1), y_pred)

    learner = distiller()
    learner.compile("sgd", Own(from_logits=True))
    learner.fit(X, ONE_HOT, verbose=0)


def test_a_bad_label_in_a_later_batch():
    """The first batch is checked before the training; TensorFlow's error fills a screen."""
    learner = distiller()
    learner.compile("sgd", SPARSE(from_logits=True))
    with pytest.raises(ValueError, match=r"from 0 to 2\. Received: label 3 in a batch") as raised:
        learner.fit(dataset(np.sort(Y + 1), 4), shuffle=False, verbose=0)
    assert "\n" not in str(raised.value)


def test_validation_of_data_free():
    """Its training has no labels; its validation has the Distiller's."""
    learner = kd.Distiller(student=dense(), teacher=dense(), alpha=0.0)
    learner.compile("sgd", SPARSE(from_logits=True))
    generator = keras.Sequential([keras.Input((2,)), layers.Dense(6)])
    data_free = teaching.DataFree(learner, generator)
    data_free.compile("sgd")
    with pytest.raises(ValueError, match="y of validation_data must be the number"):
        data_free.fit(steps_per_epoch=1, batch_size=4, validation_data=(X, ONE_HOT), verbose=0)


def test_stages():
    """Each stage trains a Distiller, which checks the labels."""
    with pytest.raises(ValueError, match="y must be the number"):
        teaching.fit_stages(
            [teaching.Stage("one", epochs=1, optimizer="sgd", loss=SPARSE(from_logits=True))],
            student=dense(),
            teacher=dense(),
            x=dataset(ONE_HOT),
        )
