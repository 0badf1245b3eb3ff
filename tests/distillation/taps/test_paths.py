"""The layer that a path names: the right one, or an error that lists the nearest."""

import keras
import pytest
from keras import layers
from models_to_tap import bert
from models_to_tap import nested
from models_to_tap import sequential
from models_to_tap import subclassed

from keras_distill.distillation.tap_paths import find
from keras_distill.distillation.tap_paths import layer_paths


def test_paths_from_the_outside_in():
    """Breadth first, inside lists, dicts and nested models too."""
    assert [path for path, _ in layer_paths(subclassed())] == [
        "block",
        "head",
        "block/first",
        "block/rest_0",
        "block/rest_1",
        "block/extra",
    ]
    model = nested()
    paths = dict(layer_paths(model))
    deepest = model.get_layer("inner").get_layer("functional").get_layer("counting")
    assert paths["inner/functional/counting"] is deepest


def test_path_and_unique_suffix():
    """A suffix counts whole names only: "ense" is no layer."""
    model = nested()
    layer = model.get_layer("inner").get_layer("functional").get_layer("dense")
    for path in ("inner/functional/dense", "functional/dense", "dense"):
        assert find(model, path) == (layer, None)
    with pytest.raises(ValueError, match="names no layer"):
        find(model, "ense")


def test_exact_path_beats_a_suffix():
    """The outer head is "head"; a nested model's head must not make it ambiguous."""
    model = nested()
    assert find(model, "head")[0] is model.get_layer("head")
    assert find(model, "functional/head")[0] is not model.get_layer("head")


def test_ambiguous_suffix_lists_the_candidates():
    """To take the first would tap another block than the user means."""
    with pytest.raises(ValueError, match="fits 2 layers of 'bert_backbone'") as error:
        find(bert(name="bert_backbone"), "self_attention_layer")
    for index in (0, 1):
        assert f"transformer_layer_{index}/self_attention_layer'" in str(error.value)
    assert "Give the path of one, from further out." in str(error.value)


@pytest.mark.parametrize("path", ["transformer_layer_7", "transformer_layer_7[0]"])
def test_unknown_path_lists_the_nearest(path):
    """A typo must be found before the first step, not by a loss of 0."""
    with pytest.raises(ValueError, match="names no layer of 'bert_backbone'") as error:
        find(bert(name="bert_backbone"), path)
    assert repr(path) in str(error.value)
    nearest = str(error.value).partition("The nearest are: ")[2]
    assert "'transformer_layer_0'" in nearest
    assert "'transformer_layer_1'" in nearest


def test_nothing_is_near():
    """Then the outermost layers are a start."""
    with pytest.raises(ValueError, match=r"The nearest are: \[.*'dense', 'head'\]"):
        find(sequential(), "???")


def test_layer_that_is_reached_by_two_paths():
    """One layer under two names is not ambiguous."""
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="dense")], name="inner")
    inputs = keras.Input((4,))
    outer = keras.Model(inputs, inner.get_layer("dense")(inner(inputs)))
    assert find(outer, "dense")[0] is inner.get_layer("dense")
    shared = keras.Model(inputs, keras.Sequential([inner], name="outer")(inner(inputs)))
    assert find(shared, "inner/dense")[0] is inner.get_layer("dense")


def test_items_and_attention_scores():
    """The item is read later; the layer is the same."""
    model = bert()
    layer = model.get_layer("transformer_layer_1")
    assert find(model, "transformer_layer_1[2][key]") == (layer, "[2][key]")
    path = "transformer_layer_1/self_attention_layer"
    assert find(model, path + "/attention_scores") == (
        find(model, path)[0],
        "attention_scores",
    )


def test_attention_scores_of_another_layer():
    """A Dense has none: without the check the pass would fail inside Keras."""
    with pytest.raises(ValueError, match=r"MultiHeadAttention has.*'head' of type Dense"):
        find(sequential(), "head/attention_scores")
