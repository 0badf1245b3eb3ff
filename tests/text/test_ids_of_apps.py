"""How MediaPipe reads texts; that it does is in tests/export/test_mediapipe.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_distill.text import WordPieceVocabulary
from keras_distill.text import WordVocabulary
from keras_distill.text.vocabularies import mediapipe

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = WordVocabulary(["good", "film", "été", "maß", "iPhone"], for_apps=True)
PIECES = WordPieceVocabulary(
    [*SPECIAL, "good", "film", "##s", "é", "É", "\uff0e", ".", "[", "mask", "]", "ก", "##ก"],
    for_apps=True,
)


def spelled(vocabulary, text):
    return [vocabulary.tokens[i] for i in vocabulary([text]).numpy()[0]]


class TestWords:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("good Good GOOD été Été ÉTÉ", ["good"] * 3 + ["été"] * 3),
            # "MASS" is another word; no spelling of a word in capitals is another one.
            ("gOOd MASS Maß iphone iPhone", ["[UNK]", "[UNK]", "maß", "[UNK]", "iPhone"]),
            ("good\u00a0film\u3000good\u200bfilm\u00adgood\x85film", ["good", "film"] * 3),
            ("good\0film", ["good"]),
            ("<START> film <UNKNOWN>", ["[UNK]", "film", "[UNK]"]),
            ("[MASK] [mask] [PAD]", ["[MASK]", "[UNK]", "[UNK]"]),
            # A word of padding is padding, unless the text begins with it.
            ("good <PAD> film", ["good", "[PAD]", "film"]),
            (" <PAD> good <PADS>", ["[UNK]", "good", "[UNK]"]),
            ("<PAD>", ["[UNK]"]),
            ("", ["[UNK]"]),
        ],
    )
    def test_texts(self, text, words):
        assert spelled(WORDS, text) == words

    def test_the_table_is_what_is_found(self):
        spellings = WORDS.spellings()
        assert (spellings["<PAD>"], spellings["<UNKNOWN>"]) == (0, 1)
        assert {"[PAD]", "[UNK]", "<START>", "MASS"}.isdisjoint(spellings)
        for word, number in list(spellings.items())[1:]:
            assert WORDS([f"good {word}"]).numpy()[0, 1] == number

    def test_words_that_mediapipe_has_for_itself(self):
        words = WordVocabulary(["<start>", "<unknown>", "<START>"], for_apps=True)
        assert spelled(words, "<start> <START> <unknown> <UNKNOWN>") == [
            *("<start>", "[UNK]", "<unknown>", "[UNK]"),
        ]
        assert "<START>" not in words.spellings()

    def test_learned(self):
        texts = ["Good iPhone\u00a0good", "GOOD <START> Film", "iPhone"]
        assert WordVocabulary.learn(texts, 20, for_apps=True).tokens[5:] == [
            "good",
            "iPhone",
            "film",
        ]
        cased = WordVocabulary.learn(texts, 20, for_apps=True, lowercase=False)
        assert sorted(cased.tokens[5:]) == ["Film", "GOOD", "Good", "good", "iPhone"]
        assert spelled(cased, "FILM Film") == ["[UNK]", "Film"]


class TestPieces:
    @pytest.mark.parametrize(
        ("text", "pieces"),
        [
            ("Films GOOD", ["film", "##s", "good"]),
            # No folding: neither letters with accents nor signs of full width.
            ("é É \uff0e", ["é", "É", "\uff0e"]),
            ("good\u00a0film", ["[UNK]"]),
            ("good.film\0good", ["good", ".", "film"]),
            ("[MASK]", ["[", "mask", "]"]),
            ("good" + "s" * 96, ["good", *["##s"] * 96]),
            ("good" + "s" * 97, ["[UNK]"]),
            # By bytes, of which a letter of Thai has three.
            ("ก" * 33, ["ก", *["##ก"] * 32]),
            ("ก" * 34 + " good", ["[UNK]", "good"]),
            ("", []),
            # A mark of Unicode 16.
            ("good\u1b4efilm", ["good", "[UNK]", "film"]),
        ],
    )
    def test_texts(self, text, pieces):
        assert spelled(PIECES, text) == ["[CLS]", *pieces, "[SEP]"]

    def test_learned(self):
        vocabulary = WordPieceVocabulary.learn(["Été été 很好", "été\uff0e"], 40, for_apps=True)
        assert spelled(vocabulary, "été 很") == ["[CLS]", "été", "很", "[SEP]"]
        assert (vocabulary.add_special_tokens, vocabulary.strip_accents) == (True, False)

    def test_of_a_teacher(self, tmp_path):
        (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL, "film"]))
        vocabulary = WordPieceVocabulary.from_teacher(tmp_path, for_apps=True)
        assert (vocabulary.for_apps, vocabulary.strip_accents) == (True, False)


@pytest.mark.parametrize("vocabulary", [WORDS, PIECES])
def test_saved(vocabulary, tmp_path):
    texts = ["Good\u00a0film", "iPhone <PAD> good", "", "Éé"]
    inputs = keras.Input((), dtype="string")
    keras.Model(inputs, vocabulary(inputs)).save(tmp_path / "words.keras")
    model = keras.models.load_model(tmp_path / "words.keras")
    np.testing.assert_array_equal(model(tf.constant(texts)), vocabulary(texts))


@pytest.mark.parametrize("vocabulary", [WordVocabulary(["a"]), WordPieceVocabulary(SPECIAL)])
def test_what_was_saved_before_has_the_same_configuration(vocabulary):
    assert "for_apps" not in vocabulary.get_config()


class TestBadInput:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda **how: WordVocabulary(["a"], split_punctuation=True, **how), "'regex'"),
            (lambda **how: WordVocabulary(["a"], add_special_tokens=True, **how), "'regex'"),
            (lambda **how: WordPieceVocabulary(SPECIAL, lowercase=False, **how), "'bert'"),
            (lambda **how: WordPieceVocabulary(SPECIAL, strip_accents=True, **how), "'bert'"),
            (lambda **how: WordPieceVocabulary(SPECIAL, add_special_tokens=False, **how), "'bert'"),
        ],
    )
    def test_what_no_app_does(self, make, message):
        with pytest.raises(ValueError, match=f"as MediaPipe's {message} tokenizer does"):
            make(for_apps=True)

    def test_a_sign_that_ends_the_process(self):
        """TensorFlow Text's fast tokenizer crashes on a text of a token with U+0011."""
        with pytest.raises(ValueError, match=r"or U\+0011 in it.*Received: \['a\\x11'\]"):
            WordPieceVocabulary([*SPECIAL, "a\x11"], for_apps=True)
        assert spelled(PIECES, "good\x11") == ["[CLS]", "[UNK]", "[SEP]"]
        learned = WordPieceVocabulary.learn(["a \x11 \x11a a"], 20, for_apps=True)
        assert not any("\x11" in token for token in learned.tokens)

    def test_two_words_in_one(self):
        with pytest.raises(ValueError, match=r"Received: \['New York'\]. Leave"):
            WordVocabulary(["a", "New York"], for_apps=True)


def test_spellings():
    assert mediapipe.spellings("film") == ("film", "Film", "FILM")
    assert mediapipe.spellings("maß") == ("maß", "Maß")
    assert mediapipe.spellings("iPhone") == ("iPhone",)
    words = ["film", "Film", "FILM", "fILM", "Maß", "MASS", "İ", "ΣΑΣ", "σας", "ǅ", "42", "很"]
    for word in words:
        assert word in mediapipe.spellings(mediapipe.unspelled(word))
