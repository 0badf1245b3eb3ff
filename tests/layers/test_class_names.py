"""Names of classes in every kind of model that a file may hold."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_distill.layers import with_class_names
from keras_distill.layers.class_names import class_names_of

INPUTS = keras.Input((4,))
FUNCTIONAL = keras.Model(INPUTS, layers.Dense(3)(INPUTS))


@pytest.mark.parametrize(
    "model",
    [
        FUNCTIONAL,
        keras.Model([FUNCTIONAL.input], [FUNCTIONAL.output]),
        keras.Sequential([keras.Input((4,)), layers.Dense(3)]),
        keras.Sequential([FUNCTIONAL, layers.Dropout(0.2), layers.Dense(3)]),
    ],
    ids=["functional", "lists", "sequential", "sequential around a model"],
)
def test_any_model_gets_names(model, tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    with_class_names(model, ["a", "b", "c"], order=[2, 0, 1]).save(tmp_path / "m.keras")
    named = keras.saving.load_model(tmp_path / "m.keras")
    assert class_names_of(named) == ("a", "b", "c")
    # Called as it is, a model of lists warns of a structure that it does not expect.
    right = np.asarray(keras.Model(model.inputs[0], model.outputs[0])(x))[:, [2, 0, 1]]
    np.testing.assert_allclose(np.asarray(named(x)), right, rtol=1e-6)
