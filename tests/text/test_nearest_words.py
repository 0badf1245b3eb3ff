"""Augmentation as in TinyBERT: words replaced by those nearest in an embedding."""

import collections
import math

import numpy as np
import pytest

from keras_distill.text import augment_with_nearest_words
from keras_distill.text.augmentation.nearest_words import nearest_rows

WORDS = ["a", "b", "c", "d"]
# From a: b, then c; d is opposite.
EMBEDDINGS = [[1.0, 0.0], [3.0, 0.1], [0.5, 0.2], [-1.0, 0.0]]


def near(texts, words=WORDS, embeddings=EMBEDDINGS, num_iterations=1, **arguments):
    return augment_with_nearest_words(
        texts, words, embeddings, num_iterations, **{"verbose": 0, **arguments}
    )


class TestNearestRows:
    def test_matches_brute_force(self):
        """In float64, all cosines sorted; more than one block of rows."""
        embeddings = np.random.default_rng(0).normal(size=(5000, 8)).astype(np.float32)
        found = nearest_rows(embeddings, np.arange(5000), np.arange(5000), 10)
        unit = embeddings.astype(np.float64)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        for row in range(0, 5000, 250):
            cosines = unit @ unit[row]
            cosines[row] = -2
            assert found[row].tolist() == np.argsort(-cosines)[:10].tolist()

    def test_chosen_rows_and_candidates(self):
        embeddings = np.array(EMBEDDINGS, np.float32)
        found = nearest_rows(embeddings, np.array([3, 0]), np.array([0, 2, 3]), 2)
        assert found.tolist() == [[2, 0], [2, 3]]

    def test_equal_vectors(self):
        """A row is not its own neighbour, even if others are as near."""
        embeddings = np.ones((6, 3), np.float32)
        found = nearest_rows(embeddings, np.arange(6), np.arange(6), 3)
        assert all(row not in found[row] for row in range(6))

    @pytest.mark.parametrize("scale", [1e-30, 1e30])
    def test_length_does_not_count(self, scale):
        """Nor do squares that float32 cannot hold."""
        embeddings = np.array(EMBEDDINGS, np.float32)
        embeddings[1] *= scale
        assert nearest_rows(embeddings, np.array([0]), np.arange(4), 2).tolist() == [[1, 2]]


class TestTexts:
    def test_rate(self):
        """Of the words in long texts, none of which stays as it is."""
        texts = [" ".join(["a"] * 100) + f" {i}" for i in range(500)]
        new_texts = near(texts, replace_rate=0.4)
        assert len(new_texts) == 500
        num_replaced = sum(word in "bcd" for text in new_texts for word in text.split())
        assert abs(num_replaced / 50_000 - 0.4) < 4 * math.sqrt(0.24 / 50_000)

    def test_candidates_are_equally_likely(self):
        drawn = collections.Counter()
        for seed in range(20):
            text = " ".join(["a"] * 500)
            new_text = near([text], replace_rate=1, num_candidates=2, seed=seed)[0]
            drawn.update(new_text.split())
        assert set(drawn) == {"b", "c"}
        assert abs(drawn["b"] / 10_000 - 0.5) < 4 * math.sqrt(0.25 / 10_000)

    def test_fewer_words_than_candidates(self):
        """All others, then."""
        new_text = near([" ".join(["a"] * 500)], replace_rate=1, num_candidates=15)[0]
        assert set(new_text.split()) == {"b", "c", "d"}

    def test_words_without_embedding_stay(self):
        """Unknown ones, and those whose vector is zero and has no direction."""
        new_texts = near(["a x zero"], [*WORDS, "zero"], [*EMBEDDINGS, [0.0, 0.0]], replace_rate=1)
        assert new_texts[0].split()[1:] == ["x", "zero"]
        assert new_texts[0].split()[0] in {"b", "c", "d"}

    def test_lower_case(self):
        """An uncased embedding serves cased texts; an own vector comes first."""
        assert near(["A"], replace_rate=1, num_candidates=1).tolist() == ["b"]
        words, embeddings = [*WORDS, "A"], [*EMBEDDINGS, [-1.0, 0.01]]
        assert near(["A"], words, embeddings, replace_rate=1, num_candidates=1)[0] == "d"

    def test_no_pieces_and_special_tokens(self):
        """They are no words; the tokens of a WordPiece vocabulary may be given as they are."""
        words = ["[CLS]", "a", "##b", "c"]
        assert near(["a"], words, EMBEDDINGS, replace_rate=1).tolist() == ["c"]

    def test_pairs_cycle(self):
        new_texts = near([("a", "d")], num_iterations=3, replace_rate=1, num_candidates=1)
        assert new_texts.tolist() == [["b", "d"], ["a", "c"], ["b", "c"]]

    def test_same_texts_for_any_number_of_workers(self):
        drawn = np.random.default_rng(0).choice(WORDS, (9000, 12))
        texts = [" ".join(row) for row in drawn]
        one, two = (near(texts, num_iterations=2, num_workers=n) for n in (1, 2))
        np.testing.assert_array_equal(one, two)

    def test_text_without_spaces(self):
        assert near(["aa"], replace_rate=1, num_candidates=1, split=list, join="")[0] == "bb"

    def test_real_vectors(self, shared):
        folder = shared / "models/glove_6b_50d_top50k"
        words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[:50_000]
        vectors = np.load(folder / "vectors_fp16.npy")
        new_texts = near(["film"], words, vectors, 200, replace_rate=1)
        assert len(new_texts) == 15
        assert {"movie", "films"} < set(new_texts)


class TestBadInput:
    def test_text_without_words(self):
        with pytest.raises(ValueError, match=r"Received: texts\[1\]=''. Leave it out"):
            near(["a", ""])

    @pytest.mark.parametrize("embeddings", [EMBEDDINGS[:3], EMBEDDINGS[0]], ids=["rows", "vector"])
    def test_shape(self, embeddings):
        with pytest.raises(ValueError, match="embeddings must be a matrix with a row for each"):
            near(["a"], WORDS, embeddings)

    def test_not_finite(self):
        embeddings = [*EMBEDDINGS[:3], [0.0, math.nan]]
        with pytest.raises(ValueError, match="NaN or infinity at row 3, the word 'd'"):
            near(["a"], WORDS, embeddings)

    @pytest.mark.parametrize(("text", "words"), [("x", WORDS), ("a", ["a", "##b", "[C]", "##d"])])
    def test_no_word_in_common(self, text, words):
        with pytest.raises(ValueError, match="words must have words of the texts, and others"):
            near([text], words)

    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            ({"replace_rate": 2}, "replace_rate must be a rate in"),
            ({"num_candidates": 0}, "num_candidates must be an integer of 1 or more"),
            ({"num_iterations": 0}, "num_iterations must be an integer of 1 or more"),
            ({"seed": -1}, "seed must be an integer of 0 or more"),
        ],
        ids=["rate", "candidates", "iterations", "seed"],
    )
    def test_arguments(self, argument, message):
        with pytest.raises(ValueError, match=message):
            near(["a"], **argument)
