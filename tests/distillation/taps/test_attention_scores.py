"""Attention scores: those of the layer, in the same pass, and no other output changes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models_to_tap import batch
from models_to_tap import bert
from models_to_tap import bert_batch
from models_to_tap import every_mode
from models_to_tap import taps_of

from keras_distill.distillation.taps import record

PATH = "mha/attention_scores"


class SelfAttention(layers.MultiHeadAttention):
    """Has a call of its own, with the masks and scores that the user gave it."""

    def build(self, shape):
        super().build(shape, shape)

    def call(self, x, training=None):
        return super().call(x, x, training=training)

    def compute_output_spec(self, x, training=None):
        return keras.KerasTensor(x.shape, x.dtype)


def attention_model(**kwargs):
    inputs = keras.Input((5, 8))
    attention = layers.MultiHeadAttention(num_heads=2, key_dim=4, name="mha", **kwargs)
    return keras.Model(inputs, attention(inputs, inputs), name="attention_model")


@every_mode
@pytest.mark.parametrize("flash_attention", [None, False])
def test_scores_are_those_of_the_layer(mode, flash_attention):
    """Without dropout Keras takes a fused path that has no scores at all."""
    model, x = attention_model(dropout=0.0, flash_attention=flash_attention), batch(3, 5, 8)
    untapped = model(x)
    output, activations = taps_of(model, [PATH], x, mode)
    mha = model.get_layer("mha")
    query = np.einsum("btd,dhk->bthk", x, mha._query_dense.kernel) + mha._query_dense.bias
    key = np.einsum("btd,dhk->bthk", x, mha._key_dense.kernel) + mha._key_dense.bias
    logits = np.einsum("bqhk,bthk->bhqt", query, key) / 2.0
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(activations[PATH], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.sum(activations[PATH], axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(output, untapped, rtol=1e-4, atol=1e-5)


@every_mode
def test_scores_and_output_of_one_layer(mode):
    """Both taps in the same pass, from the same call."""
    model, x = attention_model(), batch(3, 5, 8)
    output, activations = taps_of(model, [PATH, "mha"], x, mode)
    assert activations[PATH].shape == (3, 2, 5, 5)
    np.testing.assert_allclose(activations["mha"], output, rtol=1e-5, atol=1e-6)


@every_mode
def test_caller_asks_for_the_scores_too(mode):
    """The caller still gets its pair, and only then."""

    class Caller(keras.Model):
        def __init__(self):
            super().__init__()
            self.mha = layers.MultiHeadAttention(2, 4, name="mha")

        def call(self, x):
            output, scores = self.mha(x, x, return_attention_scores=True)
            return {"output": output, "scores": scores}

    model, x = Caller(), batch(3, 5, 8)
    untapped = model(x)
    outputs, activations = taps_of(model, [PATH], x, mode)
    np.testing.assert_allclose(activations[PATH], outputs["scores"], rtol=1e-6)
    for key in outputs:
        np.testing.assert_allclose(outputs[key], untapped[key], rtol=1e-4, atol=1e-5)


@pytest.mark.long_but_first
@every_mode
def test_inside_keras_hub(mode):
    """Padding gets no attention, and the backbone's output stays the same."""
    model, x = bert(dropout=0.0), bert_batch()
    untapped = model(x)
    path = "transformer_layer_1/self_attention_layer/attention_scores"
    outputs, activations = taps_of(model, [path], x, mode)
    scores = np.asarray(activations[path])
    assert scores.shape == (2, 2, 16, 16)
    np.testing.assert_allclose(scores.sum(axis=-1), 1, rtol=1e-5)
    assert np.abs(scores[1, :, :, 5:]).max() < 1e-6
    for key in outputs:
        np.testing.assert_allclose(outputs[key], untapped[key], rtol=1e-3, atol=1e-4)


def test_attention_is_fused_again_afterwards():
    """The tap may slow down its own pass, not the exported student."""
    model, x = attention_model(), batch(3, 5, 8)
    untapped = model(x)
    taps_of(model, [PATH], x)
    assert "call" not in model.get_layer("mha").__dict__
    np.testing.assert_array_equal(model(x), untapped)


def self_attention_model():
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(9, 8, mask_zero=True)(inputs)
    return keras.Model(inputs, SelfAttention(2, 4, name="mha")(x))


@every_mode
def test_subclass_with_another_call(mode):
    """Only it knows what it attends to; its output has the mask of what it reads."""
    model, x = self_attention_model(), tf.constant([[1, 2, 3, 0, 0], [4, 3, 2, 1, 1]])
    output, activations = taps_of(model, ["mha", "mha/query"], x, mode)
    np.testing.assert_allclose(activations["mha"], output, rtol=1e-5, atol=1e-6)
    assert activations["mha/query"].shape == (2, 5, 2, 4)
    with record(model, ["mha"]) as recording:
        model(x)
    np.testing.assert_array_equal(recording["mha"]._keras_mask, x > 0)


@every_mode
def test_subclass_that_gives_no_scores(mode):
    """Python's own error would speak of an argument that nobody has written."""
    message = r"'mha' must take return_attention_scores.*\['x', 'training'\].*super\(\)\.call"
    with pytest.raises(ValueError, match=message):
        taps_of(self_attention_model(), [PATH], tf.constant([[1, 2, 3, 0, 0]]), mode)
