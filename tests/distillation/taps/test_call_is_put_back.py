"""After a recording the model is as it was before."""

import keras
import numpy as np
import pytest
from models_to_tap import batch
from models_to_tap import every_mode
from models_to_tap import functional
from models_to_tap import taps_of

from keras_distill.distillation.taps import current_recording
from keras_distill.distillation.taps import record


@every_mode
def test_after_a_pass(mode):
    """A wrapper that stays would be saved, exported, and wrapped again and again."""
    model = functional()
    taps_of(model, ["dense", "counting"], batch(2, 4), mode)
    for layer in model.layers:
        assert "call" not in layer.__dict__
    assert current_recording() is None


def test_after_an_exception():
    """In the model, and in the caller's code behind it."""
    model = functional()
    with pytest.raises(Exception, match="incompatible"), record(model, ["dense"]):
        model(batch(2, 7))
    with pytest.raises(KeyError), record(model, ["dense"]):
        raise KeyError("of the caller")
    assert "call" not in model.get_layer("dense").__dict__
    assert current_recording() is None


def test_after_an_unknown_path():
    """The first path is fine, the second is not: nothing may stay wrapped."""
    model = functional()
    with pytest.raises(ValueError, match="names no layer"), record(model, ["dense", "typo"]):
        pass
    assert "call" not in model.get_layer("dense").__dict__


def test_own_call_of_an_instance():
    """Others patch `call` as well (LoRA, quantisation): theirs must be run and stay."""
    model = functional()
    dense, x = model.get_layer("dense"), batch(2, 4)

    def own_call(inputs):
        return 0 * inputs + 7

    object.__setattr__(dense, "call", own_call)
    _, activations = taps_of(model, ["dense"], x)
    np.testing.assert_array_equal(activations["dense"], np.full((2, 4), 7))
    assert dense.__dict__["call"] is own_call


def test_saved_model_is_the_same(tmp_path):
    """A tapped model saves and loads as if it had never been tapped."""
    model, x = functional(), batch(2, 4)
    output, _ = taps_of(model, ["dense"], x)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), output, rtol=1e-6)
