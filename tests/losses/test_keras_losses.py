"""Losses by name and by function, as compile() takes them, and a user's own."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd
from keras_distill.losses.keras_losses import FunctionLoss
from keras_distill.losses.keras_losses import asked
from keras_distill.losses.keras_losses import get

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
MEAN = keras.losses.MeanSquaredError()


def network(name, width=5, activation=None):
    inputs = keras.Input((4,))
    hidden = layers.Dense(width, name="hidden")(inputs)
    return keras.Model(inputs, layers.Dense(3, activation)(hidden), name=name)


def history(**settings):
    keras.utils.set_random_seed(1)
    distiller = kd.Distiller(
        student=network("student"), teacher=network("teacher"), alpha=0.0, **settings
    )
    distiller.compile(keras.optimizers.SGD(0.0))
    return distiller.fit(X, verbose=0).history


@pytest.mark.parametrize("loss", ["mse", "mean_squared_error", keras.losses.mean_squared_error])
class TestByNameAndFunction:
    @pytest.mark.long_but_first
    def test_soft_loss(self, loss):
        assert history(soft_loss=loss) == history(soft_loss=MEAN)

    @pytest.mark.long_but_first
    def test_objective(self, loss):
        found, expected = (
            history(
                objectives=[
                    kd.Objective(given, teacher_layer="hidden", student_layer="hidden", name="o")
                ]
            )["o"]
            for given in (loss, MEAN)
        )
        assert found == expected
        assert found[0] > 0

    def test_config_round_trip(self, loss):
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(get(loss))))
        again = keras.saving.deserialize_keras_object(config)
        assert isinstance(again, FunctionLoss)
        assert again.name == "mean_squared_error"
        assert float(again(X, 2 * X)) == float(MEAN(X, 2 * X))


class TestAsked:
    def test_a_plain_loss_has_the_defaults(self):
        found = asked(MEAN)
        assert (found.same_shapes, found.takes_lists, found.needs) == (True, False, ())
        assert (found.values_rank, found.on_input_gradients) == (None, False)
        assert float(found.for_batch(labels=X, training=True, step=3)(X, -X)) == float(MEAN(X, -X))

    def test_attributes_of_a_plain_loss_count(self):
        class Relations(keras.losses.Loss):
            same_shapes = False
            values_rank = 1

        assert not asked(Relations()).same_shapes
        assert asked(Relations()).values_rank == 1

    def test_a_loss_of_ours_is_asked_itself(self):
        loss = kd.losses.FeatureMSE()
        assert asked(loss) is loss


class Weighed(kd.losses.DistillationLoss):
    """A user's own loss, with all that ours may ask for."""

    needs = ("labels", "training")

    def __init__(self, name="weighed", **settings):
        super().__init__(name, **settings)

    def call(self, y_true, y_pred):
        weights = keras.ops.cast(self.labels, "float32") * (2.0 if self.training else 1.0)
        return weights * keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


def test_a_loss_of_a_user_reads_the_batch():
    labels = np.array([0, 1, 2, 0, 1, 2])
    keras.utils.set_random_seed(1)
    student, teacher = network("student"), network("teacher")
    distiller = kd.Distiller(
        student=student, teacher=teacher, soft_loss=Weighed(), alpha=0.0, validate_with_teacher=True
    )
    distiller.compile(keras.optimizers.SGD(0.0))
    squares = np.mean((student(X) - teacher(X)) ** 2, axis=-1)
    expected = np.mean(labels * squares)
    assert distiller.fit(X, labels, verbose=0).history["soft_loss"] == pytest.approx([2 * expected])
    found = distiller.evaluate(X, labels, verbose=0, return_dict=True)["soft_loss"]
    assert found == pytest.approx(expected)
    with pytest.raises(ValueError, match="Weighed needs the labels"):
        distiller.fit(X, verbose=0)


@pytest.mark.parametrize(
    ("loss", "teacher", "student", "wrong"),
    [
        ("kl_divergence", None, "softmax", "the teacher"),
        ("kl_divergence", "softmax", None, "the student"),
        (keras.losses.KLDivergence(), None, None, "the teacher and the student"),
        (keras.losses.CategoricalCrossentropy(from_logits=True), None, None, "the teacher"),
        (keras.losses.CategoricalCrossentropy(), "softmax", None, "the student"),
    ],
)
def test_losses_between_distributions_get_no_logits(loss, teacher, student, wrong):
    distiller = kd.Distiller(
        student=network("student", activation=student),
        teacher=network("teacher", activation=teacher),
        soft_loss=loss,
        alpha=0.0,
    )
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=f"logits of {wrong} for 'output'. Use keras_distill"):
        distiller.fit(X, verbose=0)


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    ("loss", "student"),
    [
        ("kl_divergence", "softmax"),
        (keras.losses.KLDivergence(), "softmax"),
        (keras.losses.CategoricalCrossentropy(from_logits=True), None),
    ],
)
def test_losses_between_distributions_get_probabilities(loss, student):
    distiller = kd.Distiller(
        student=network("student", activation=student),
        teacher=network("teacher", activation="softmax"),
        soft_loss=loss,
        alpha=0.0,
    )
    distiller.compile(keras.optimizers.SGD(0.0))
    expected = float(get(loss)(distiller.teacher(X), distiller.student(X)))
    assert distiller.fit(X, verbose=0).history["soft_loss"] == pytest.approx([expected])
