"""8 bits carry attention over padded texts."""

import keras
import numpy as np
import pytest
from keras import layers
from keras_hub.layers import CachedMultiHeadAttention

from keras_distill import export_tflite
from keras_distill.quantization.attention_masks import close_masks

LENGTH, WIDTH = 12, 16


def pointed_attention(dropout):
    """Reads vectors; every place looks at few others, and at none that is masked."""
    keras.utils.set_random_seed(0)
    x = keras.Input((LENGTH, WIDTH), name="x")
    is_token = keras.ops.any(keras.ops.not_equal(x, 0.0), axis=-1)
    attention = layers.MultiHeadAttention(2, 8, dropout=dropout)
    mixed = attention(x, x, attention_mask=keras.ops.expand_dims(is_token, 1))
    model = keras.Model(x, layers.Dense(4, name="logits")(mixed[:, 0]))
    for dense in (attention.query_dense, attention.key_dense):
        dense.kernel.assign(3.0 * dense.kernel)
    return model


def padded_inputs(num_examples=300):
    generator = np.random.default_rng(1)
    x = generator.normal(size=(num_examples, LENGTH, WIDTH)).astype("float32")
    lengths = generator.integers(2, LENGTH + 1, num_examples)
    return x * (np.arange(LENGTH) < lengths[:, None])[:, :, None]


# Without dropout Keras calls a fused kernel, with masks of its own.
# An untrained network likes one class best.
@pytest.mark.long_but_first
@pytest.mark.filterwarnings("ignore:In the output .output.")
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_int8_attends_where_keras_does(dropout, tmp_path):
    model, x = pointed_attention(dropout), padded_inputs()
    report = export_tflite(model, tmp_path / "s.tflite", quantization="int8", representative_data=x)
    assert report.max_difference < 0.1 * np.ptp(model(x))
    assert report.top1_agreement >= 0.95


def test_closer_masks_hardly_change_the_model():
    model, x = pointed_attention(0.0), padded_inputs()
    expected = model(x)
    with close_masks(model):
        np.testing.assert_allclose(model(x), expected, atol=2e-3)
    np.testing.assert_array_equal(model(x), expected)


def test_masks_of_softmax_layers():
    scores = keras.Input((5,))
    mask = keras.Input((5,), dtype="bool")
    model = keras.Model([scores, mask], layers.Softmax()(scores, mask=mask))
    x = [np.array([[1.0, 2, 3, 50, -4]], "float32"), np.array([[True, True, True, False, True]])]
    expected = np.exp([1.0, 2, 3, -np.inf, -4])
    with close_masks(model):
        found = model(x)
    np.testing.assert_allclose(found[0], expected / expected.sum(), atol=1e-5)


# An untrained network likes one class best.
@pytest.mark.long_but_first
@pytest.mark.filterwarnings("ignore:In the output .output.")
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_rows_that_are_masked_as_a_whole(dropout, tmp_path):
    """Padding attends to nothing: 0, or the mean without dropout. Flatten lets the output see."""
    ids = keras.Input((6,), dtype="int32", name="ids")
    x = layers.Embedding(20, 8, mask_zero=True)(ids)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4, dropout=dropout)(x, x))
    model = keras.Model(ids, layers.Dense(3)(layers.Flatten()(x)))
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(0, 0.5, w.shape) for w in model.get_weights()])
    x = generator.integers(1, 20, (300, 6)).astype("int32")
    x[:, 3:] = 0
    expected = model(x)
    with close_masks(model):
        np.testing.assert_allclose(model(x), expected, atol=1e-2)
    report = export_tflite(model, tmp_path / "s.tflite", quantization="int8", representative_data=x)
    assert report.max_relative_difference < 0.1


class OwnAttention(layers.MultiHeadAttention):
    def call(self, query, value, key=None):
        return 2 * super().call(query, value)


class OwnSoftmax(layers.Softmax):
    def call(self, scores, scale):
        return super().call(scores) * scale


@pytest.mark.parametrize("call", [lambda x: OwnAttention(2, 4)(x, x), lambda x: OwnSoftmax()(x, x)])
def test_calls_of_ones_own_stay(call):
    """They take other arguments, or do more than their base class."""
    x = keras.Input((5, 8))
    model = keras.Model(x, call(x))
    values = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    expected = model(values)
    with close_masks(model):
        np.testing.assert_array_equal(model(values), expected)


def test_a_subclass_that_returns_scores():
    """Those of KerasHub's decoders do."""
    attention = CachedMultiHeadAttention(2, 4)
    x = keras.Input((5, 8))
    mask = keras.ops.less(keras.ops.sum(keras.ops.abs(x), -1), 7.0)[:, None]
    model = keras.Model(x, attention(x, x, attention_mask=mask))
    values = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    expected = model(values)
    with close_masks(model):
        np.testing.assert_allclose(model(values), expected, atol=1e-2)
        assert "call" in attention.__dict__


def test_the_calls_are_put_back_after_an_error():
    model = pointed_attention(0.1)
    with pytest.raises(KeyError), close_masks(model):
        raise KeyError
    assert not any("call" in layer.__dict__ for layer in model._flatten_layers())
