"""Which models a comparison times."""

import keras
import numpy as np
import pytest

import keras_distill as kd

DATA = np.ones((8, 2), "float32"), np.arange(8) % 2


def test_others_are_not_timed():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    comparison = kd.compare({"one": model, "other": model}, DATA, timed=(), verbose=0)
    assert comparison["one"].cost.median_ms == {}
    assert comparison["one"].cost.num_parameters == 6


@pytest.mark.parametrize("timed", ["one", ("two",)])
def test_names_of_models(timed):
    with pytest.raises(ValueError, match="timed must be a tuple of names of the models"):
        kd.compare({"one": lambda x: x}, DATA, timed=timed, verbose=0)
