"""A student with several outputs: the history of their soft losses, the labels of objectives."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd

X = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
Y = {"a": np.array([0, 1, 2, 0]), "b": np.array([3, 2, 1, 0])}


def model(structure):
    inputs = keras.Input((5,))
    heads = [layers.Dense(3, name="a")(inputs), layers.Dense(4, name="b")(inputs)]
    return keras.Model(inputs, structure(heads))


def in_dict(heads):
    return dict(zip("ab", heads))


def distiller_of(structure, **settings):
    distiller = kd.Distiller(
        student=model(structure), teacher=model(structure), alpha=0.0, **settings
    )
    distiller.compile("sgd", run_eagerly=True)
    return distiller


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # Nothing teaches the other output.
@pytest.mark.parametrize(
    ("structure", "given"),
    [(list, [None, "kl"]), (tuple, (None, "kl")), (list, {"b": "kl"}), (in_dict, {"b": "kl"})],
)
def test_history_of_outputs_without_a_soft_loss(structure, given):
    """A 0 would look like an output that has been learnt."""
    soft_loss = keras.tree.map_structure(lambda v: v and kd.losses.SoftTargetKL(), given)
    distiller = distiller_of(structure, soft_loss=soft_loss)
    history = distiller.fit(X, verbose=0).history
    assert set(history) == {"loss", "hard_loss", "soft_loss", "b_soft_loss"}
    assert history["b_soft_loss"][0] > 0


def test_objective_that_needs_labels():
    """The user has given y; the message must not ask for that again."""
    objectives = [
        kd.Objective(kd.losses.DKD(), teacher_layer="output[a]", student_layer="output[a]")
    ]
    distiller = distiller_of(in_dict, objectives=objectives)
    with pytest.raises(ValueError, match=r"soft_loss=\{output: loss\}.*DistillationInputs\(labels"):
        distiller.fit(X, Y, verbose=0)
    distiller.fit(kd.DistillationInputs(X, labels=Y["a"]), verbose=0)
