"""What Keras leaves out of a loss's configuration: loaded, it was another loss."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd
from keras_distill._keras.loss_config import serialize_losses
from keras_distill.teaching import MutualLearning
from keras_distill.teaching import Stage

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def dense(name):
    return keras.Sequential([keras.Input((3,)), layers.Dense(2, name="layer")], name=name)


@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.Huber(delta=0.3),
        keras.losses.CosineSimilarity(axis=0),
        keras.losses.MeanSquaredError(),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2),
        kd.losses.SoftTargetKL(3.0),
    ],
    ids=lambda loss: loss.name,
)
def test_comes_back(loss):
    y, other = np.abs(X) + 0.1, np.abs(X[::-1]) + 2
    for losses in (loss, {"a": loss, "b": None}, [None, loss]):
        again = keras.saving.deserialize_keras_object(serialize_losses(losses))
        keras.tree.assert_same_structure(again, losses)
        for one, two in zip(keras.tree.flatten(again), keras.tree.flatten(losses)):
            assert (one is None) == (two is None)
            assert one is None or float(one(y, other)) == float(two(y, other))


def test_saved(tmp_path):
    huber = keras.losses.Huber(delta=0.01)
    objective = kd.Objective(huber, teacher_layer="layer", student_layer="layer", name="o")
    distiller = kd.Distiller(
        student=dense("s"), teacher=dense("t"), soft_loss=huber, objectives=[objective]
    )
    distiller.compile(keras.optimizers.SGD(0.0))
    distiller.save(tmp_path / "d.keras")
    again = keras.models.load_model(tmp_path / "d.keras")
    again.teacher = distiller.teacher
    assert again.fit(X, verbose=0).history == distiller.fit(X, verbose=0).history
    peers = MutualLearning([dense("one"), dense("other")], soft_loss=huber)
    again = MutualLearning.from_config(peers.get_config())
    assert float(again.soft_loss(X, -X)) == float(huber(X, -X))


@pytest.mark.long_but_first
@pytest.mark.parametrize("make", ["distiller", "peers"])
def test_the_loss_of_compile(make, tmp_path):
    """Resumed, the same training would go on with the delta of Keras's default."""
    huber = keras.losses.Huber(delta=0.01)
    if make == "distiller":
        model = kd.Distiller(student=dense("s"), alpha=1.0)
    else:
        model = MutualLearning([dense("one"), dense("other")])
    model.compile(keras.optimizers.SGD(0.0), loss=huber)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    y = 5 * X[:, :2]
    expected = model.evaluate(X, y, verbose=0, return_dict=True)
    assert again.evaluate(X, y, verbose=0, return_dict=True) == pytest.approx(expected)


def test_a_stage_with_another_setting_is_another():
    one, other = (
        Stage("a", epochs=1, soft_loss=keras.losses.Huber(delta=delta)).describe(dense("s"))
        for delta in (0.3, 0.4)
    )
    assert one != other
