"""What is refused, and what stands in the file; the clients are in test_mediapipe.py."""

import io
import zipfile

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_distill as kd
from keras_distill.export import ImageMetadata
from keras_distill.export import TextMetadata

LABELS = ["bad", "good", "so-so"]
PIECES = kd.text.WordPieceVocabulary(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "film"], for_apps=True
)
WORDS = kd.text.WordVocabulary(["a", "film", "iPod"], sequence_length=10, for_apps=True)
WORDS_METADATA = TextMetadata(LABELS, WORDS, "regex")


def image_model(activation=None, num_classes=3, channels=1):
    image = keras.Input((4, 4, channels))
    return keras.Model(image, layers.Dense(num_classes, activation)(layers.Flatten()(image)))


def files_in(path):
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_text_file(tmp_path):
    student = kd.students.text_cnn(WORDS, 3, embedding_dim=4, filters=2)
    path = tmp_path / "s.tflite"
    kd.export_tflite(student, path, metadata=WORDS_METADATA)
    files = files_in(path)
    assert files["labels.txt"] == "bad\ngood\nso-so"
    lines = files["vocab.txt"].split("\n")
    assert lines[:2] == ["<PAD> 0", "<UNKNOWN> 1"]
    # The app does not lowercase.
    assert {"film 6", "Film 6", "FILM 6", "iPod 7"} < set(lines)
    assert not {"ipod 7", "IPOD 7", "[PAD] 0"} & set(lines)
    ids = np.array([[5, 6, 0, 0, 0, 0, 0, 0, 0, 0]], "int32")
    runner = Interpreter(str(path)).get_signature_runner()
    expected = keras.ops.softmax(student(ids))
    np.testing.assert_allclose(runner(token_ids=ids)["probabilities"], expected, atol=1e-6)
    # The app gives a text without words nothing but padding.
    empty = runner(token_ids=np.zeros((1, 10), "int32"))["probabilities"]
    np.testing.assert_allclose(empty, keras.ops.softmax(student(WORDS([""]))), atol=1e-6)


def test_capitals_of_another_word_stay_unknown():
    """The capitals of "maß" are those of "mass"."""
    words = kd.text.WordVocabulary(["maß", "été"], for_apps=True)
    lines = TextMetadata(LABELS, words, "regex").files()["vocab.txt"].split("\n")
    spellings = {line.split()[0] for line in lines}
    assert {"maß", "Maß", "été", "Été", "ÉTÉ"} <= spellings
    assert "MASS" not in spellings


def test_the_same_model_gives_the_same_bytes(tmp_path):
    model = image_model()
    contents = [
        kd.export_tflite(model, tmp_path / name, metadata=ImageMetadata(LABELS)).path.read_bytes()
        for name in ("a", "b")
    ]
    assert contents[0] == contents[1]


def test_quantized_files_have_metadata_too(tmp_path):
    x = np.random.default_rng(0).uniform(0, 255, (60, 4, 4, 1))
    report = kd.export_tflite(
        image_model(),
        tmp_path / "s.tflite",
        quantization="int8",
        representative_data=x,
        metadata=ImageMetadata(LABELS),
    )
    assert "labels.txt" in files_in(report.path)
    assert (report.num_calibrated, report.num_examples) == (40, 20)


class TestBadInput:
    @pytest.mark.parametrize("labels", ["abc", [1, 2, 3], ["a", "b\nc", "d"], ["a", " ", "c"]])
    def test_labels(self, labels):
        with pytest.raises(ValueError, match="class_names must be"):
            ImageMetadata(labels)

    def test_number_of_labels(self, tmp_path):
        with pytest.raises(
            ValueError, match=r"2 names for the model .* with the outputs \[\(None, 3\)\]"
        ):
            kd.export_tflite(image_model(), tmp_path / "s", metadata=ImageMetadata(["a", "b"]))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("std", [0.0, float("nan"), (1.0, -1.0)])
    def test_std(self, std):
        with pytest.raises(ValueError, match="and std above 0"):
            ImageMetadata(LABELS, std=std)

    def test_mean_of_other_channels(self, tmp_path):
        metadata = ImageMetadata(LABELS, mean=(1.0, 2.0, 3.0))
        with pytest.raises(ValueError, match=r"each of the 1 channels.*mean=\(1.0, 2.0, 3.0\)"):
            kd.export_tflite(image_model(), tmp_path / "s", metadata=metadata)

    @pytest.mark.parametrize("model", [image_model(channels=2), "text"])
    def test_no_image(self, model, tmp_path):
        if model == "text":
            model = kd.students.text_cnn(WORDS, 3, embedding_dim=4, filters=2)
        with pytest.raises(ValueError, match="ImageMetadata needs a model with one input"):
            kd.export_tflite(model, tmp_path / "s", metadata=ImageMetadata(LABELS))

    def test_no_text(self, tmp_path):
        with pytest.raises(ValueError, match="TextMetadata needs a model with one input"):
            kd.export_tflite(image_model(), tmp_path / "s", metadata=WORDS_METADATA)

    def test_output_no_classes(self, tmp_path):
        with pytest.raises(ValueError, match="logits or ends in a softmax"):
            kd.export_tflite(image_model("relu"), tmp_path / "s", metadata=ImageMetadata(LABELS))

    def test_vocabulary_of_another_model(self, tmp_path):
        student = kd.students.text_cnn(50, 3, embedding_dim=4, filters=2)
        with pytest.raises(ValueError, match=r"vocabulary of 8 tokens for embeddings of \[50\]"):
            kd.export_tflite(student, tmp_path / "s", metadata=WORDS_METADATA)

    def test_tokenizer(self):
        with pytest.raises(ValueError, match=r"'bert', 'regex'.*tokenizer='words'"):
            TextMetadata(LABELS, WORDS, "words")

    def test_sequence_length(self, tmp_path):
        student = kd.students.text_cnn(WORDS, 3, embedding_dim=4, filters=2)
        with pytest.raises(ValueError, match="sequence_length='any', and 10 of the"):
            kd.export_tflite(
                student, tmp_path / "s", sequence_length="any", metadata=WORDS_METADATA
            )

    def test_length_of_the_vocabulary(self):
        assert TextMetadata(LABELS, WORDS, "regex", 10) == WORDS_METADATA
        with pytest.raises(ValueError, match=r"sequence_length=12, and 10 of the vocab"):
            TextMetadata(LABELS, WORDS, "regex", 12)

    @pytest.mark.parametrize(
        ("tokenizer", "vocabulary"),
        [
            ("bert", WORDS),
            (
                "bert",
                kd.text.WordPieceVocabulary(
                    PIECES.tokens, strip_accents=False, add_special_tokens=True
                ),
            ),
            ("regex", PIECES),
            ("regex", kd.text.WordVocabulary(["a"])),
            ("regex", 8),
        ],
    )
    def test_vocabulary_that_the_app_cannot_follow(self, tokenizer, vocabulary):
        """It would read other ids than the student was taught with."""
        with pytest.raises(ValueError, match=r"for_apps=True does.*other ids in the app than in"):
            TextMetadata(LABELS, vocabulary, tokenizer)
