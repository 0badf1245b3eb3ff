"""Texts are labelled with others of like length, each once."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from store_examples import make_bert

import keras_distill as kd
from keras_distill.layers.class_names import with_class_names
from keras_distill.store import label
from keras_distill.store.label import Labeller


@pytest.fixture(scope="module")
def bert():
    return make_bert(sequence_length=200)


@pytest.fixture
def texts():
    lengths = np.random.default_rng(0).integers(1, 190, 300)
    return tf.constant([" ".join(["film"] * length) for length in lengths])


@pytest.mark.parametrize("settings", [{}, {"batch_size": 7}])
def test_batches(bert, texts, settings, monkeypatch):
    monkeypatch.setattr(label, "_CHUNK", 128)
    expected = keras.tree.map_structure(np.asarray, bert.preprocessor(texts))
    batches = list(Labeller(bert, ["output"], **settings).batches(texts))
    np.testing.assert_array_equal(np.sort(np.concatenate([p for _, p in batches])), range(300))
    for inputs, places in batches:
        num_texts, width = inputs["token_ids"].shape
        assert num_texts == len(places) <= settings.get("batch_size", max(1, 2048 // width))
        used = np.count_nonzero(inputs["token_ids"], axis=1)
        assert np.all(width - used < np.maximum(4, used / 8))
        for name, ids in inputs.items():
            np.testing.assert_array_equal(ids, expected[name][places, :width])
            assert not np.any(expected[name][places, width:])


@pytest.mark.long
def test_outputs_are_at_their_places(bert, texts):
    rows = Labeller(bert, ["output"])(texts)["output"]
    np.testing.assert_allclose(rows, bert.predict(texts, verbose=0), atol=1e-5)


@pytest.mark.long
def test_a_teacher_that_names_its_classes_meets_texts_of_like_length(bert, texts):
    """Its last layer is one more; the texts would be tokenized in the order of the data."""
    order = list(range(bert.output_shape[-1]))[::-1]
    named = with_class_names(bert, list(map(str, order)), order)
    (inputs, _), *_ = Labeller(named, ["output"]).batches(texts)
    assert "token_ids" in inputs
    rows = Labeller(named, ["output"])(texts)["output"]
    np.testing.assert_allclose(rows, bert.predict(texts, verbose=0)[:, ::-1], atol=1e-5)


def test_unlike_numbers_of_words_for_a_plain_teacher(tmp_path):
    """TensorFlow's error spoke of a binding that failed."""
    words = tf.data.Dataset.from_tensor_slices(tf.ragged.constant([["a"], ["a", "b"]]))
    with pytest.raises(ValueError, match="Received: examples of unlike numbers of words"):
        kd.TeacherStore.build(words, tf.strings.length, tmp_path / "s", version="1", verbose=0)
