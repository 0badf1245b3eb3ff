"""Each family of text encoders that KerasHub has makes a teacher, from strings on."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_encoders import FAMILIES
from small_encoders import WORDS
from small_encoders import make_encoder

import keras_distill as kd
from keras_distill.layers.strings_to_logits import TextClassifier
from keras_distill.store.label import Labeller
from keras_distill.teachers import text_classifier

TEXTS = tf.constant(["the film is good", "bad .", "the cafe is unwanted"])


# KerasHub leaves the file of a SentencePiece model open that it has read.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*vocabulary.spm:pytest.PytestUnraisableExceptionWarning"
)


def _with_marks(family):
    # One with SentencePiece, and ids of padding that are not 0. RoBERTa's graph takes 10 s.
    return pytest.param(family, marks=[] if family == "XLMRoberta" else pytest.mark.long)


@pytest.fixture(scope="module", params=map(_with_marks, FAMILIES))
def encoder(request):
    """A backbone, and its preprocessor."""
    return make_encoder(request.param)


@pytest.fixture(scope="module")
def teacher(encoder):
    return text_classifier(*encoder, num_classes=3)


@pytest.mark.long
def test_logits_are_those_of_the_head_on_what_keras_hub_computes(teacher, encoder):
    """KerasHub pads with an id of the family's own, to the full length."""
    backbone, preprocessor = encoder
    outputs = backbone(preprocessor(TEXTS))
    first = outputs["pooled_output"] if isinstance(outputs, dict) else outputs[:, 0]
    expected = teacher.classifier.get_layer("logits")(first)
    np.testing.assert_allclose(teacher(TEXTS), expected, atol=1e-5)


@pytest.mark.long
def test_saved_and_loaded_it_has_two_parts_and_answers_alike(teacher, tmp_path):
    teacher.save(tmp_path / "teacher.keras")
    loaded = keras.models.load_model(tmp_path / "teacher.keras")
    assert isinstance(loaded, TextClassifier)
    np.testing.assert_allclose(loaded(TEXTS), teacher(TEXTS), atol=1e-6)
    batch = loaded.preprocessor(TEXTS)
    np.testing.assert_allclose(loaded.classifier(batch), teacher(TEXTS), atol=1e-6)


def test_texts_of_a_store_are_labelled_without_padding(teacher):
    """With ids of padding that are not 0, each text seemed to be as long as the longest."""
    labeller = Labeller(teacher, ["output"])
    widths = [inputs["token_ids"].shape[1] for inputs, _ in labeller.batches(TEXTS)]
    assert min(widths) == 4
    np.testing.assert_allclose(labeller(TEXTS)["output"], teacher(TEXTS), atol=1e-5)


@pytest.mark.long
def test_it_teaches_a_student_that_reads_strings(teacher):
    vocabulary = kd.text.WordVocabulary.learn(
        [" ".join(WORDS)] * 2, vocabulary_size=10, sequence_length=8
    )
    texts = keras.Input((), dtype="string")
    cnn = kd.students.text_cnn(vocabulary, 3, embedding_dim=4, filters=4)
    student = keras.Model(texts, cnn(vocabulary(texts)))
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.0)
    distiller.compile(keras.optimizers.Adam(0.02))
    dataset = tf.data.Dataset.from_tensors(TEXTS).repeat(8)
    history = distiller.fit(dataset, epochs=2, shuffle=False, verbose=0).history
    assert history["loss"][1] < history["loss"][0]


@pytest.mark.long
def test_pairs(encoder):
    teacher = text_classifier(*encoder, num_classes=2, pairs=True)
    pairs = tf.constant([["the film", "is good"], ["the film", "bad"]])
    assert np.abs(teacher(pairs) - teacher(pairs[:, ::-1])).max() > 1e-7


@pytest.mark.long
def test_a_ready_classifier_keeps_its_head(encoder):
    import keras_hub

    backbone, preprocessor = encoder
    family = type(backbone).__name__.removesuffix("Backbone")
    kind = getattr(keras_hub.models, f"{family}TextClassifier")
    task = kind(backbone, num_classes=4, preprocessor=preprocessor)
    expected = task(preprocessor(TEXTS))
    np.testing.assert_allclose(text_classifier(task)(TEXTS), expected, atol=1e-5)


def test_embeddings_of_deberta_may_have_rows_without_a_token():
    """Its published files have 128,100 rows for 128,001 tokens."""
    encoder, preprocessor = make_encoder("DebertaV3", spare_rows=3)
    assert text_classifier(encoder, preprocessor, num_classes=2)(TEXTS).shape == (3, 2)
    with pytest.raises(ValueError, match="one vocabulary"):
        text_classifier(*make_encoder("DebertaV3", spare_rows=-1), num_classes=2)


def test_a_seed_that_is_set_later_changes_nothing():
    """It empties TensorFlow's cache of kernels, where KerasHub's SentencePiece models are."""
    teacher = text_classifier(*make_encoder("Albert"), num_classes=2)
    before = teacher(TEXTS)
    keras.utils.set_random_seed(1)
    np.testing.assert_allclose(teacher(TEXTS), before, atol=1e-6)


def test_words_need_word_pieces():
    with pytest.raises(ValueError, match=r"per_word.*Received: a RobertaTextClassifierPreproc"):
        text_classifier(*make_encoder("Roberta"), num_classes=2, per_word=True)
