import hub_modules
import keras
import numpy as np
import pytest
import tensorflow as tf
from small_bert import TOKENS
from small_bert import make_preprocessor

from keras_distill.teachers.hub import HubLayer
from keras_distill.teachers.text_inputs import HUB_NAMES
from keras_distill.teachers.text_inputs import KERAS_HUB_NAMES
from keras_distill.teachers.text_inputs import TextInputs
from keras_distill.teachers.text_inputs import known_tokens
from keras_distill.text.vocabularies.word_pieces import WordPieceVocabulary

TEXTS = tf.constant(["the film is unwanted", "Good.", ""])


@pytest.fixture(scope="module")
def hub_preprocessor(tmp_path_factory):
    return HubLayer(hub_modules.save_preprocessor(tmp_path_factory.mktemp("hub") / "preprocess"))


def test_ids_are_those_of_the_preprocessor_without_its_padding():
    features = TextInputs(make_preprocessor(), KERAS_HUB_NAMES)(TEXTS)
    expected = [[2, 5, 6, 7, 11, 12, 13, 3], [2, 8, 16, 3] + [0] * 4, [2, 3] + [0] * 6]
    np.testing.assert_array_equal(features["token_ids"], expected)
    np.testing.assert_array_equal(features["padding_mask"], np.array(expected) > 0)
    np.testing.assert_array_equal(features["segment_ids"], np.zeros((3, 8)))
    assert {v.dtype for v in features.values()} == {tf.int32}


@pytest.mark.long
def test_accents_are_stripped_eagerly_and_in_tf_data():
    inputs = TextInputs(make_preprocessor(), KERAS_HUB_NAMES)
    eager = inputs(tf.constant(["Café"]))["token_ids"]
    mapped = next(iter(tf.data.Dataset.from_tensors(["Café"]).map(inputs)))["token_ids"]
    np.testing.assert_array_equal(eager, [[2, 10, 3]])
    np.testing.assert_array_equal(mapped, eager)


@pytest.mark.long
def test_pairs_have_two_segments():
    inputs = TextInputs(make_preprocessor(), KERAS_HUB_NAMES, pairs=True)
    features = inputs(tf.constant([["the film", "good"], ["bad", "is ."]]))
    np.testing.assert_array_equal(features["token_ids"], [[2, 5, 6, 3, 8, 3], [2, 9, 3, 7, 16, 3]])
    np.testing.assert_array_equal(features["segment_ids"], [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]])


def test_a_hub_preprocessor_packs_to_the_length_asked_for(hub_preprocessor):
    texts = tf.constant(["good films watch a bad film", "a"])
    for length in (5, 12):
        features = TextInputs(hub_preprocessor, HUB_NAMES, sequence_length=length)(texts)
        assert features["input_word_ids"].shape == (2, min(length, 9))
        np.testing.assert_array_equal(features["input_word_ids"][1, :3], [2, 4, 3])
        assert set(features) == set(HUB_NAMES)


def test_a_hub_preprocessor_packs_pairs(hub_preprocessor):
    features = TextInputs(hub_preprocessor, HUB_NAMES, pairs=True)(tf.constant([["a", "bad"]]))
    np.testing.assert_array_equal(features["input_type_ids"], [[0, 0, 0, 1, 1]])


def test_a_hub_preprocessor_feeds_an_encoder_of_kerashub_and_the_reverse(hub_preprocessor):
    features = TextInputs(hub_preprocessor, KERAS_HUB_NAMES)(tf.constant(["a"]))
    np.testing.assert_array_equal(features["token_ids"], [[2, 4, 3]])
    features = TextInputs(make_preprocessor(), HUB_NAMES)(tf.constant(["the"]))
    np.testing.assert_array_equal(features["input_word_ids"], [[2, 5, 3]])
    np.testing.assert_array_equal(features["input_mask"], [[1, 1, 1]])


def test_encoders_without_segments_get_none():
    assert set(TextInputs(make_preprocessor(), KERAS_HUB_NAMES[:2])(TEXTS)) == {
        "token_ids",
        "padding_mask",
    }


@pytest.mark.long
def test_words_keep_their_places():
    vocabulary = WordPieceVocabulary(TOKENS, add_special_tokens=True)
    inputs = TextInputs(vocabulary, KERAS_HUB_NAMES, per_word=True)
    features = inputs(tf.constant([["the", "unwanted", "film"], ["good", "", ""]]))
    np.testing.assert_array_equal(
        features["token_ids"], [[2, 5, 11, 12, 13, 6, 3], [2, 8, 3, 0, 0, 0, 0]]
    )
    np.testing.assert_array_equal(features["word_starts"], [[1, 2, 5], [1, 0, 0]])
    np.testing.assert_array_equal(features["padding_mask"][1], [1, 1, 1, 0, 0, 0, 0])


@pytest.mark.long_but_first
@pytest.mark.parametrize("kind", ["kerashub", "hub", "vocabulary"])
def test_saved_in_a_model_it_works_alike(kind, hub_preprocessor, tmp_path):
    preprocessor = {
        "kerashub": make_preprocessor(),
        "hub": hub_preprocessor,
        "vocabulary": WordPieceVocabulary(TOKENS, add_special_tokens=True),
    }[kind]
    texts = keras.Input((), dtype="string")
    model = keras.Model(texts, TextInputs(preprocessor, KERAS_HUB_NAMES)(texts))
    expected = model(TEXTS)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")(TEXTS)
    for name, values in expected.items():
        np.testing.assert_array_equal(loaded[name], values)


def test_known_tokens(hub_preprocessor):
    assert known_tokens(make_preprocessor()) == TOKENS
    assert known_tokens(hub_preprocessor) == list(hub_modules.WORD_PIECES)
    assert known_tokens(WordPieceVocabulary(TOKENS)) == TOKENS
    assert known_tokens(lambda texts: texts) is None
