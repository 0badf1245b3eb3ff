"""Which positions are padding: told by Keras masks, or by arguments of KerasHub's layers."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models_to_tap import batch
from models_to_tap import bert
from models_to_tap import bert_batch
from models_to_tap import every_mode

import keras_distill as kd
from keras_distill.distillation.taps import record

IDS = np.array([[1, 2, 3, 0, 0], [4, 3, 2, 1, 1], [5, 0, 0, 0, 0]])
KEPT = IDS > 0
LAYER = "transformer_layer_1"
ATTENTION = f"{LAYER}/self_attention_layer/"
PARTS = [ATTENTION + part for part in ("query", "key", "value")]


def masks_of(model, paths, x, mode="eager", **kwargs):
    """The Keras masks of the taps, as arrays."""

    def run(x):
        with record(model, paths) as recording:
            model(x, **kwargs)
        return {path: getattr(recording[path], "_keras_mask", None) for path in paths}

    masks = run(x) if mode == "eager" else tf.function(run, jit_compile=mode == "jit")(x)
    return {path: mask if mask is None else mask.numpy() for path, mask in masks.items()}


def cut_student():
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=8, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=8
    )
    return kd.students.from_teacher(backbone, (0, 1), num_classes=2)


def small_transformer():
    return kd.students.transformer(8, 2, hidden_dim=8, num_layers=2, num_heads=2)


@pytest.mark.long_but_first
@every_mode
@pytest.mark.parametrize("build", [cut_student, small_transformer])
def test_students_over_keras_hub(build, mode):
    """A BertBackbone has no Keras masks: without its argument, padding would count."""
    paths = [LAYER, *PARTS, ATTENTION + "attention_scores"]
    masks = masks_of(build(), paths, tf.constant(IDS), mode)
    for path in (LAYER, *PARTS):
        np.testing.assert_array_equal(masks[path], KEPT)
    expected = np.broadcast_to(KEPT[:, None], (3, 2, 5))
    np.testing.assert_array_equal(masks[ATTENTION + "attention_scores"], expected)


@pytest.mark.long_but_first
@every_mode
def test_loss_on_scores_leaves_padding_out(mode):
    """Keras puts a mask of queries and keys on the scores, which no values per query fit."""
    model, path = small_transformer(), ATTENTION + "attention_scores"
    target = np.random.default_rng(0).uniform(size=(3, 2, 5, 5)).astype("float32")

    def loss_and_scores(ids):
        with record(model, [path]) as recording:
            model(ids)
        return kd.losses.FeatureMSE()(target, recording[path]), recording[path]

    run = tf.function(loss_and_scores, jit_compile=mode == "jit")
    value, scores = (loss_and_scores if mode == "eager" else run)(tf.constant(IDS))
    values = np.mean((scores.numpy() - target) ** 2, axis=-1)
    expected = np.mean(np.moveaxis(values, 1, 2)[KEPT])
    assert float(value) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(policy):
    """Casts make copies: queries and keys must still be known to be the same tokens."""
    keras.config.set_dtype_policy(policy)
    try:
        models = [cut_student(), small_transformer()]
    finally:
        keras.config.set_dtype_policy("float32")
    for model in models:
        for mask in masks_of(model, [LAYER, *PARTS], IDS).values():
            np.testing.assert_array_equal(mask, KEPT)


def test_attention_by_position():
    """Keras masks, and arguments without names as most code has them."""
    ids = keras.Input((5,), dtype="int32")
    x = layers.Embedding(8, 4, mask_zero=True)(ids)
    model = keras.Model(ids, layers.MultiHeadAttention(2, 4, name="mha")(x, x))
    paths = ["mha", "mha/attention_scores", "mha/query", "mha/key", "mha/value"]
    masks = masks_of(model, paths, IDS)
    np.testing.assert_array_equal(masks.pop("mha/attention_scores")[:, 0], KEPT)
    for mask in masks.values():
        np.testing.assert_array_equal(mask, KEPT)


@every_mode
def test_cross_attention(mode):
    """Queries and keys are other texts, of another length: each has its own mask."""
    ids, others = keras.Input((5,), dtype="int32"), keras.Input((3,), dtype="int32")
    embedding = layers.Embedding(8, 4, mask_zero=True)
    mha = layers.MultiHeadAttention(2, 4, name="mha")
    model = keras.Model([ids, others], mha(embedding(ids), embedding(others)))
    other_ids = np.array([[1, 0, 0], [1, 2, 0], [1, 2, 3]])
    paths = ["mha/query", "mha/key", "mha/value", "mha/attention_scores"]
    masks = masks_of(model, paths, [tf.constant(IDS), tf.constant(other_ids)], mode)
    np.testing.assert_array_equal(masks["mha/query"], KEPT)
    np.testing.assert_array_equal(masks["mha/attention_scores"][:, 1], KEPT)
    for path in ("mha/key", "mha/value"):
        np.testing.assert_array_equal(masks[path], other_ids > 0)


def test_cross_attention_with_an_attention_mask():
    """It tells of the keys only: a query that attends to few keys is no padding."""
    query, value = keras.Input((5, 4)), keras.Input((3, 4))
    mask = keras.Input((5, 3), dtype="bool")
    mha = layers.MultiHeadAttention(2, 4, name="mha")
    model = keras.Model([query, value, mask], mha(query, value, attention_mask=mask))
    key_mask = np.array([[True, False, False], [True, True, False]])
    attention_mask = tf.constant(np.repeat(key_mask[:, None], 5, axis=1))
    x = [batch(2, 5, 4), batch(2, 3, 4), attention_mask]
    masks = masks_of(model, ["mha/query", "mha/value"], x)
    assert masks["mha/query"] is None
    np.testing.assert_array_equal(masks["mha/value"], key_mask)


@pytest.mark.parametrize("rank", [2, 4])
def test_attention_mask_of_another_rank(rank):
    """The same for all examples, or one for each head."""
    x = keras.Input((5, 4))
    kept = np.arange(5) < 3
    mask = tf.broadcast_to(kept, (3, 2, 5, 5) if rank == 4 else (5, 5))
    mha = layers.MultiHeadAttention(2, 4, name="mha")
    model = keras.Model(x, mha(x, x, attention_mask=mask))
    found = masks_of(model, ["mha/attention_scores"], batch(3, 5, 4))["mha/attention_scores"]
    if rank == 2:
        assert found is None
    else:
        np.testing.assert_array_equal(found, np.broadcast_to(kept, (3, 2, 5)))


def test_decoder():
    """Each token attends to itself and to those before it: only padding is masked."""
    x, mask = keras.Input((5, 8)), keras.Input((5,), dtype="bool")
    decoder = keras_hub.layers.TransformerDecoder(8, 2, name="decoder")
    model = keras.Model([x, mask], decoder(x, decoder_padding_mask=mask))
    paths = ["decoder", "decoder/self_attention/query", "decoder/self_attention/value"]
    for mask in masks_of(model, paths, [batch(3, 5, 8), tf.constant(KEPT)]).values():
        np.testing.assert_array_equal(mask, KEPT)


def test_nothing_is_masked():
    """No mask of ones: Keras's reduction would do needless work with it."""
    inputs = keras.Input((5, 8))
    mha = layers.MultiHeadAttention(2, 4, name="mha")
    model = keras.Model(inputs, mha(inputs, inputs))
    paths = ["mha", "mha/attention_scores", "mha/value"]
    assert masks_of(model, paths, batch(3, 5, 8)) == dict.fromkeys(paths)


def test_the_models_own_tensors_stay_as_they_are():
    """A mask on the output would change the loss on the labels and the metrics."""
    model = bert()
    with record(model, [LAYER]) as recording:
        output = model(bert_batch())["sequence_output"]
    np.testing.assert_array_equal(recording[LAYER]._keras_mask, np.arange(16) < [[16], [5]])
    np.testing.assert_array_equal(recording[LAYER], output)
    assert getattr(output, "_keras_mask", None) is None
