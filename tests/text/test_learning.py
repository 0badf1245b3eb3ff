import gzip

import numpy as np
import pytest

from keras_distill.text import WordPieceVocabulary
from keras_distill.text import WordVocabulary

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = ["walking talking walked", "talked walks talks", "Jumping jumped jumps café"] * 3
TEXTS += ["a"] * 30


def spelled(vocabulary, text):
    return [vocabulary.tokens[i] for i in vocabulary([text]).numpy()[0]]


class TestWordPieces:
    @pytest.mark.long
    def test_stems_and_endings(self):
        """Words that share their parts become parts, and every text can be spelled."""
        vocabulary = WordPieceVocabulary.learn(TEXTS, 42)
        assert vocabulary.tokens[:5] == SPECIAL
        assert len(vocabulary) <= 42
        assert {"##ing", "##ed"} <= set(vocabulary.tokens)
        assert 1 not in vocabulary.pieces(TEXTS).flat_values.numpy()

    @pytest.mark.long
    def test_rather_fewer_long_pieces_than_a_missing_letter(self):
        vocabulary = WordPieceVocabulary.learn(["abcd abdc"], 5 + 2 * 4 + 1)
        assert len(vocabulary) == 14
        assert 1 not in vocabulary.pieces(["abcd", "dcba", "bbb"]).flat_values.numpy()

    def test_casing_and_accents(self):
        """As they will be split: no piece is learned that no text can have."""
        assert all(token.isascii() and token == token.lower() for token in learned(TEXTS))
        cased = WordPieceVocabulary.learn(TEXTS, 90, lowercase=False, strip_accents=False)
        assert {"J", "é"} <= set(cased.tokens)
        assert (cased.lowercase, cased.strip_accents) == (False, False)

    def test_chinese_characters_by_frequency(self):
        vocabulary = WordPieceVocabulary.learn(["很好很好很", "好不好很很,", "坏"], 13)
        assert vocabulary.tokens == [*SPECIAL, "很", "好", "不", "坏", ",", "##,"]
        assert WordPieceVocabulary.learn(["很好很"], 7).tokens == [*SPECIAL, "很"]
        assert WordPieceVocabulary.learn(["很好很"], 9).tokens == [*SPECIAL, "很", "好"]

    def test_rare_strings_are_no_pieces(self):
        """Not even where every word comes once, as sentences without blanks do."""
        texts = ["goodbad", "badgood", "goodgood", "badbad", "goodbadgood", "badgoodbad"]
        assert "goodbadgood" in WordPieceVocabulary.learn(texts, 200).tokens
        tokens = WordPieceVocabulary.learn(texts, 200, min_count=3).tokens
        assert {"##good", "##bad", "g", "##g"} <= set(tokens)
        assert "goodbadgood" not in tokens

    def test_pairs_and_options(self):
        vocabulary = WordPieceVocabulary.learn([("a b", "c"), ("a", "d")], 20, sequence_length=7)
        assert set("abcd") <= set(vocabulary.tokens)
        assert vocabulary.sequence_length == 7

    def test_the_same_every_time(self):
        assert (
            WordPieceVocabulary.learn(TEXTS, 50).tokens
            == WordPieceVocabulary.learn(TEXTS[::-1], 50).tokens
        )

    @pytest.mark.long
    def test_unseen_reviews_in_chinese(self, shared):
        """Of 1000 pieces of the test set fewer than 3 are unknown."""

        def read(name):
            path = shared / "data/text/zh_chnsenticorp" / f"{name}.tsv.gz"
            with gzip.open(path, "rt", encoding="utf-8") as file:
                return [line.split("\t")[0] for line in list(file)[1:]]

        vocabulary = WordPieceVocabulary.learn(read("train"), 5000)
        assert 4750 <= len(vocabulary) <= 5000
        pieces = vocabulary.pieces(read("test")).flat_values.numpy()
        assert np.mean(pieces == 1) < 0.003


def learned(texts):
    return WordPieceVocabulary.learn(texts, 60).tokens[len(SPECIAL) :]


class TestWords:
    def test_by_frequency(self):
        """The alphabet breaks ties, so that the order is always the same."""
        vocabulary = WordVocabulary.learn(["c b a", "C b", "c d"], 8)
        assert vocabulary.tokens == [*SPECIAL, "c", "b", "a"]

    def test_as_the_vocabulary_splits(self):
        apart = WordVocabulary.learn(["Good!"], 9, split_punctuation=True)
        assert apart.tokens[5:] == ["!", "good"]
        assert spelled(apart, "good!!") == ["good", "!", "!"]
        assert WordVocabulary.learn(["Good!"], 9, lowercase=False).tokens[5:] == ["Good!"]

    def test_only_words_with_a_vector(self):
        assert WordVocabulary.learn(["a b c a b a"], 9, among=["b", "c", "z"]).tokens[5:] == [
            "b",
            "c",
        ]

    def test_only_frequent_words(self):
        assert WordVocabulary.learn(["a b c a b a"], 9, min_count=2).tokens[5:] == ["a", "b"]

    def test_special_tokens_are_no_words(self):
        """Augmented texts hold "[MASK]"."""
        vocabulary = WordVocabulary.learn(
            ["[MASK] film [PAD]"], 9, lowercase=False, sequence_length=4
        )
        assert vocabulary.tokens == [*SPECIAL, "film"]
        assert vocabulary.sequence_length == 4


@pytest.mark.parametrize("learn", [WordVocabulary.learn, WordPieceVocabulary.learn])
class TestBadInput:
    @pytest.mark.parametrize("texts", [[], [""], [" ", "\u200b"]])
    def test_nothing_to_learn_from(self, learn, texts):
        with pytest.raises(ValueError, match=f"must have words .*Received: {len(texts)} texts"):
            learn(texts, 100)

    @pytest.mark.parametrize("texts", [["a", None], ["a", 3.0], [("a", float("nan"))]])
    def test_texts_that_are_no_strings(self, learn, texts):
        with pytest.raises(ValueError, match=r"texts must be strings.*Received: (None|3.0|nan)"):
            learn(texts, 100)

    @pytest.mark.parametrize("size", [5, 0, 8.0, None])
    def test_size(self, learn, size):
        with pytest.raises(
            ValueError, match=f"integer of 6 or more. Received: vocabulary_size={size}"
        ):
            learn(["a"], size)
