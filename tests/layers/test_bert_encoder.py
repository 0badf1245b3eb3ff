import keras
import keras_hub
import numpy as np
import pytest

from keras_distill.layers.bert_encoder import BertEncoder
from keras_distill.layers.bert_encoder import has_exact_gelu

INPUTS = {
    "token_ids": np.array([[2, 5, 6, 3]]),
    "padding_mask": np.array([[1, 1, 1, 1]]),
    "segment_ids": np.array([[0, 0, 1, 1]]),
}


def make_backbone():
    return keras_hub.models.BertBackbone(10, 1, 2, 8, 16, max_sequence_length=8)


def saved_and_loaded(layer, folder):
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in INPUTS}
    model = keras.Model(inputs, layer(inputs))
    model.save(folder / "model.keras")
    return model, keras.models.load_model(folder / "model.keras")


def test_the_exact_gelu_survives_saving(tmp_path):
    model, loaded = saved_and_loaded(BertEncoder(make_backbone(), exact_gelu=True), tmp_path)
    assert has_exact_gelu(loaded)
    for name, values in model(INPUTS).items():
        np.testing.assert_allclose(loaded(INPUTS)[name], values, atol=1e-6)


def test_without_it_the_backbone_is_as_it_was():
    backbone = make_backbone()
    outputs = backbone(INPUTS)
    assert not has_exact_gelu(backbone)
    for name, values in BertEncoder(backbone)(INPUTS).items():
        np.testing.assert_array_equal(outputs[name], values)


def test_a_pooling_layer_that_nothing_reads_is_frozen_and_stays_so(tmp_path):
    model, loaded = saved_and_loaded(BertEncoder(make_backbone(), pooled=False), tmp_path)
    for each in (model, loaded):
        assert not any("pooled" in w.path for w in each.trainable_weights)
        assert sum("pooled" in w.path for w in each.weights) == 2


def test_a_model_without_transformer_layers_has_no_gelu_to_change():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="exact_gelu is for models"):
        BertEncoder(model, exact_gelu=True)
