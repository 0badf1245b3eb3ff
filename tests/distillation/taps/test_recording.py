"""The right activation, once, in any model, from the pass that gave the output."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models_to_tap import batch
from models_to_tap import bert
from models_to_tap import bert_batch
from models_to_tap import every_mode
from models_to_tap import functional
from models_to_tap import nested
from models_to_tap import sequential
from models_to_tap import subclassed
from models_to_tap import taps_of

from keras_distill.distillation.tap_paths import find
from keras_distill.distillation.taps import record


class Structured(layers.Layer):
    """Gives a dict and lists."""

    def call(self, inputs):
        return {"pooled": inputs + 1, "steps": [inputs + 2, inputs + 3]}


@every_mode
@pytest.mark.parametrize(
    ("build", "path", "expected"),
    [
        (functional, "counting", lambda m, x: 2 * m.get_layer("dense")(x)),
        (sequential, "dense", lambda m, x: m.get_layer("dense")(x)),
        (nested, "functional/dense", lambda m, x: find(m, "functional/dense")[0](x)),
        (nested, "inner", lambda m, x: m.get_layer("inner")(x)),
        (subclassed, "block", lambda m, x: m.block(x)),
        (subclassed, "rest_1", lambda m, x: m.block.rest[1](m.block.rest[0](m.block.first(x)))),
    ],
)
def test_activation_of_any_model(build, path, expected, mode):
    """The layer's own output, and the model's output as without a tap."""
    model, x = build(), batch(5, 4)
    output, activations = taps_of(model, [path, "head"], x, mode)
    np.testing.assert_allclose(activations[path], expected(model, x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(activations["head"], output, rtol=1e-6)
    np.testing.assert_allclose(output, model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.long_but_first
@every_mode
def test_keras_hub_backbone(mode):
    """Against the layers, called one after another."""
    model, x = bert(), bert_batch()
    paths = ["transformer_layer_0", "transformer_layer_1", "pooled_dense"]
    outputs, activations = taps_of(model, paths, x, mode)
    embed = model.get_layer
    hidden = embed("token_embedding")(x["token_ids"])
    hidden += embed("position_embedding")(hidden) + embed("segment_embedding")(x["segment_ids"])
    hidden = embed("embeddings_layer_norm")(hidden)
    for path in paths[:2]:
        hidden = embed(path)(hidden, padding_mask=x["padding_mask"])
        np.testing.assert_allclose(activations[path], hidden, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs["sequence_output"], hidden, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(activations["pooled_dense"], outputs["pooled_output"], rtol=1e-6)


@every_mode
def test_items_of_structured_outputs(mode):
    """By key and by index."""
    model = keras.Sequential([keras.Input((4,)), Structured(name="enc")])
    x = batch(2, 4)
    paths = ["enc[pooled]", "enc[steps][1]", "enc[steps][-2]"]
    _, activations = taps_of(model, paths, x, mode)
    for path, offset in zip(paths, (1, 3, 2)):
        np.testing.assert_allclose(activations[path], x + offset)


@pytest.mark.parametrize("item", ["[typo]", "[pooled][0]", "[steps][2]", "[steps][pooled]"])
def test_item_that_is_not_there(item):
    """The message must name the tap and what the layer gives instead."""
    model = keras.Sequential([keras.Input((4,)), Structured(name="enc")])
    with pytest.raises(ValueError, match=r"pooled.*steps") as error:
        taps_of(model, ["enc" + item], batch(2, 4))
    assert repr("enc" + item) in str(error.value)


@every_mode
def test_exactly_one_pass(mode):
    """A second pass would double the cost, and see other dropout masks."""
    model = functional()
    counting = model.get_layer("counting")
    num_calls = counting.num_calls
    taps_of(model, ["dense", "counting", "head"], batch(2, 4), mode)
    assert counting.num_calls == num_calls + 1


def test_activation_is_the_one_of_this_pass():
    """With dropout, a recomputed activation would not belong to the output."""
    model = keras.Sequential(
        [keras.Input((64,)), layers.Dropout(0.5, name="drop"), layers.Activation("linear")]
    )
    output, activations = taps_of(model, ["drop"], tf.ones((2, 64)), training=True)
    np.testing.assert_array_equal(activations["drop"], output)


@every_mode
def test_gradient_flows_through_a_tap(mode):
    """An objective that cannot move the student's layers has no effect."""
    model = sequential()
    dense = model.get_layer("dense")

    def gradient(x):
        with tf.GradientTape() as tape, record(model, ["dense"]) as recording:
            model(x)
            value = tf.reduce_sum(recording["dense"])
        return tape.gradient(value, dense.kernel)

    x = batch(3, 4)
    run = gradient if mode == "eager" else tf.function(gradient, jit_compile=mode == "jit")
    expected = np.repeat(np.sum(x, axis=0)[:, None], 4, axis=1)
    np.testing.assert_allclose(run(x), expected, rtol=1e-5, atol=1e-5)


@every_mode
def test_keras_mask_is_kept(mode):
    """Without it a loss on hidden layers counts the padding."""
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True, name="embedding"),
            layers.Dense(3, name="dense"),
        ]
    )
    ids = tf.constant([[1, 2, 0, 0, 0], [3, 4, 5, 6, 0]])

    def run(ids):
        with record(model, ["embedding", "dense"]) as recording:
            model(ids)
        return [recording[path]._keras_mask for path in ("embedding", "dense")]

    compiled = run if mode == "eager" else tf.function(run, jit_compile=mode == "jit")
    for mask in compiled(ids):
        np.testing.assert_array_equal(mask, ids != 0)


@every_mode
def test_keras_mask_outlives_attention(mode):
    """MultiHeadAttention takes the mask off its inputs, which others still want to read."""
    ids = keras.Input((5,), dtype="int32")
    embedded = layers.Embedding(9, 4, mask_zero=True, name="embedding")(ids)
    hidden = layers.Dense(4, name="dense")(embedded)
    attended = layers.MultiHeadAttention(1, 4, name="attention")(hidden, hidden)
    model = keras.Model(ids, attended)

    def run(ids):
        with record(model, ["dense", "attention"]) as recording:
            model(ids)
        return [recording[path]._keras_mask for path in ("dense", "attention")]

    compiled = run if mode == "eager" else tf.function(run, jit_compile=mode == "jit")
    ids = tf.constant([[1, 2, 0, 0, 0], [3, 4, 5, 6, 0]])
    for mask in compiled(ids):
        np.testing.assert_array_equal(mask, ids != 0)


def test_no_paths():
    """A Distiller without objectives records nothing, at no cost."""
    model = functional()
    with record(model, []) as recording:
        model(batch(2, 4))
    assert recording.keys == set()


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not")
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_layers_that_keras_has_quantized(mode):
    inputs = keras.Input((3, 8))
    x = keras.layers.Dense(6, "relu", name="dense")(inputs)
    x = keras.layers.EinsumDense("btc,cd->btd", (None, 4), name="einsum")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="out")(x))
    model.quantize(mode)
    batch = np.random.default_rng(0).normal(size=(5, 3, 8)).astype("float32")
    with record(model, ["dense", "einsum"]) as recording:
        output = model(batch)
    hidden = model.get_layer("dense")(batch)
    np.testing.assert_array_equal(recording["dense"], hidden)
    np.testing.assert_array_equal(recording["einsum"], model.get_layer("einsum")(hidden))
    np.testing.assert_array_equal(model(batch), output)
    assert "quantized_call" not in vars(model.get_layer("dense"))
