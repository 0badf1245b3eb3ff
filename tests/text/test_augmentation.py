"""Augmentation as in Tang et al. 2019: rates, groups, n-grams, rounds."""

import collections
import math

import numpy as np
import pytest

from keras_distill.text import augment
from keras_distill.text import from_lists

OFF = {"mask_rate": 0, "replace_rate": 0, "ngram_rate": 0, "verbose": 0}


def one_round(texts, **rates):
    return augment(texts, 1, **{**OFF, **rates})


def random_texts(num_texts, length, words="abcdefgh", probabilities=None, seed=0):
    drawn = np.random.default_rng(seed).choice(list(words), (num_texts, length), p=probabilities)
    return [" ".join(row) for row in drawn]


def changes(texts, new_texts):
    """The `(old, new)` words at the places where two equally long texts differ."""
    assert len(texts) == len(new_texts)
    return [
        (old, new)
        for text, new_text in zip(texts, new_texts)
        for old, new in zip(text.split(), new_text.split(), strict=True)
        if old != new
    ]


def assert_share(count, total, expected):
    """Within four standard deviations of the binomial distribution."""
    deviation = math.sqrt(expected * (1 - expected) / total)
    assert abs(count / total - expected) <= 4 * deviation


class TestWords:
    """One draw for each word: masked, replaced, or left."""

    @pytest.mark.parametrize("rates", [(0.1, 0.1), (0.3, 0.5), (0.0, 1.0)])
    def test_rates(self, rates):
        """Of the words, as many masked and as many replaced; the two exclude each other."""
        mask_rate, replace_rate = rates
        texts = random_texts(500, 100)
        new_texts = one_round(texts, mask_rate=mask_rate, replace_rate=replace_rate)
        changed = changes(texts, new_texts)
        num_masked = sum(new == "[MASK]" for _, new in changed)
        assert_share(num_masked, 50_000, mask_rate)
        assert_share(len(changed) - num_masked, 50_000, replace_rate)

    def test_mask_everything(self):
        """Its own token, as many as there are words."""
        assert one_round(["a b", "c"], mask_rate=1).tolist() == ["[MASK] [MASK]", "[MASK]"]
        assert one_round(["a b"], mask_rate=1, mask_token="<m>").tolist() == ["<m> <m>"]

    def test_replacements_follow_the_unigram_distribution(self):
        """Of b: a and c as 6 to 1, their counts in the texts, and never b."""
        texts = random_texts(1000, 40, "abc", (0.6, 0.3, 0.1))
        new_texts = one_round(texts, replace_rate=0.5, tagger=lambda words: ["X"] * len(words))
        words = collections.Counter(" ".join(texts).split())
        drawn = collections.Counter(new for old, new in changes(texts, new_texts) if old == "b")
        assert set(drawn) == {"a", "c"}
        expected = words["a"] / (words["a"] + words["c"])
        assert_share(drawn["a"], sum(drawn.values()), expected)

    def test_replacements_have_the_same_tag(self):
        """Here the tag is the case of the letter."""
        texts = random_texts(200, 40, "abcABC")
        new_texts = one_round(
            texts, replace_rate=0.5, tagger=lambda words: [word.isupper() for word in words]
        )
        drawn = set(changes(texts, new_texts))
        assert drawn == {
            (old, new)
            for letters in ("abc", "ABC")
            for old in letters
            for new in letters
            if old != new
        }

    def test_tags_depend_on_the_context(self):
        """ "run" is a noun in first place and a verb in second: other words for each."""
        texts = ["run run", "walk walks", "walk run"] * 4
        texts = [f"{text} {i}" for i, text in enumerate(texts)]
        new_texts = one_round(
            texts, replace_rate=1, tagger=lambda words: ["noun", "verb", *words[2:]]
        )
        assert {text.rsplit(" ", 1)[0] for text in new_texts[::3]} == {"walk walks"}
        assert {text.rsplit(" ", 1)[0] for text in new_texts[1::3]} == {"run run"}

    def test_frequency_bands(self):
        """Without a tagger: the same floor(log2(count))."""
        texts = random_texts(300, 30, "abcdef", (0.3, 0.3, 0.15, 0.15, 0.06, 0.04))
        counts = collections.Counter(" ".join(texts).split())
        band = {word: math.floor(math.log2(count)) for word, count in counts.items()}
        new_texts = one_round(texts, replace_rate=0.5)
        drawn = set(changes(texts, new_texts))
        assert drawn == {
            (old, new) for old in band for new in band if old != new and band[old] == band[new]
        }

    def test_word_alone_in_its_group(self):
        """There is no other word to draw."""
        assert len(one_round(["a a a a", "a a a b"], replace_rate=1)) == 0


class TestNGrams:
    """A text that is cut to a few words in a row."""

    @staticmethod
    def numbered_texts(num_texts, length):
        return [" ".join(f"{text}.{place}" for place in range(length)) for text in range(num_texts)]

    def test_words_in_a_row_of_one_text(self):
        """Each from its own text, in the order of the texts."""
        texts = self.numbered_texts(50, 12)
        for text, new_text in zip(texts, one_round(texts, ngram_rate=1), strict=True):
            assert f" {new_text} " in f" {text} "

    def test_sizes_are_uniform(self):
        new_texts = one_round(self.numbered_texts(4000, 8), ngram_rate=1)
        sizes = collections.Counter(len(text.split()) for text in new_texts)
        assert sorted(sizes) == [1, 2, 3, 4, 5]
        for size in sizes:
            assert_share(sizes[size], 4000, 1 / 5)

    def test_places_are_uniform(self):
        """From the first word to the last."""
        new_texts = one_round(self.numbered_texts(4000, 4), ngram_rate=1, max_ngram=1)
        places = collections.Counter(text.split(".")[1] for text in new_texts)
        for place in "0123":
            assert_share(places[place], 4000, 1 / 4)

    def test_rate(self):
        """What is not cut is as before, so not new."""
        assert_share(len(one_round(self.numbered_texts(4000, 8), ngram_rate=0.25)), 4000, 0.25)

    def test_n_longer_than_the_text(self):
        """Keeps all of it: of n in 1 ... 5 only 1 shortens two words."""
        assert_share(len(one_round(self.numbered_texts(4000, 2), ngram_rate=1)), 4000, 1 / 5)

    def test_of_the_changed_text(self):
        """Masked first, then cut."""
        new_texts = one_round(self.numbered_texts(20, 8), ngram_rate=1, mask_rate=1)
        assert set(new_texts) <= {" ".join(["[MASK]"] * n) for n in range(1, 6)}


class TestRounds:
    def test_same_texts_for_any_number_of_workers(self):
        """The chunks, several in a round here, have random numbers of their own."""
        texts = random_texts(9000, 6)
        expected = augment(texts, 2, num_workers=1, verbose=0)
        for num_workers in (2, 5, None):
            new_texts = augment(texts, 2, num_workers=num_workers, verbose=0)
            np.testing.assert_array_equal(new_texts, expected)

    def test_draws_are_not_those_of_the_seed_itself(self):
        """Texts that were drawn with default_rng(0) would have their own draws again."""
        texts = [" ".join(["a"] * 1000)]
        is_masked = np.array(one_round(texts, mask_rate=0.5, seed=0)[0].split()) == "[MASK]"
        own_draws = np.random.default_rng(0).random(1000) < 0.5
        assert abs(np.mean(is_masked == own_draws) - 0.5) < 0.1

    def test_seeds(self):
        """Another seed, other texts; chunks and rounds differ too."""
        texts = ["a b c d e f g h"] * 2
        first, second = (augment(texts, 5, seed=seed, verbose=0) for seed in (0, 1))
        assert set(first) != set(second)
        assert len(first) > 5

    def test_fewer_rounds_come_first(self):
        texts = random_texts(20, 8)
        few, many = (augment(texts, n, verbose=0) for n in (3, 6))
        assert len(few) < len(many)
        np.testing.assert_array_equal(many[: len(few)], few)

    def test_no_duplicates(self):
        """Of each other, and of the texts that were given, twice here and with more spaces."""
        texts = ["a b  c", "a b  c", "d e", "a d"]
        new_texts = augment(texts, 50, verbose=0)
        assert len(set(new_texts)) == len(new_texts)
        assert set(new_texts).isdisjoint(["a b c", *texts])

    def test_nothing_new(self):
        assert one_round(["a b"]).shape == (0,)
        assert one_round([("a b", "c")]).shape == (0, 2)

    def test_pairs_cycle(self):
        """First text only, second only, both, and again: told apart by masking all words."""
        new_texts = augment([("a b", "c")], 4, **{**OFF, "mask_rate": 1})
        assert new_texts.tolist() == [
            ["[MASK] [MASK]", "c"],
            ["a b", "[MASK]"],
            ["[MASK] [MASK]", "[MASK]"],
        ]

    def test_pairs_share_their_words(self):
        """A word of a first text may come into a second one."""
        pairs = [("a b", "c d"), ("e f", "g h")] * 20
        new_texts = augment(pairs, 2, **{**OFF, "replace_rate": 1})
        second = " ".join(new_texts[new_texts[:, 0] == "a b", 1]).split()
        assert {"a", "e"} & set(second)

    def test_result_is_loadable(self):
        """Back into the transfer set, pairs too."""
        train = from_lists([("a b c", "d"), ("e", "f g")], [0, 1])
        transfer_set = train + from_lists(augment(train.texts, 3, verbose=0))
        assert transfer_set.texts.shape == (len(transfer_set), 2)
        assert transfer_set.labels.tolist()[:3] == [0, 1, -1]

    def test_text_without_spaces(self):
        """Chinese: characters are the words."""
        new_texts = one_round(["电影很好"], mask_rate=1, split=list, join="")
        assert new_texts.tolist() == ["[MASK]" * 4]
        new_texts = one_round(["电影很好"] * 2, ngram_rate=1, split=list, join="")
        assert all(text in "电影很好" for text in new_texts)

    def test_progress_bar(self, capsys):
        augment(["a b c"] * 3, 2, verbose=1)
        assert "6/6" in capsys.readouterr().out
        augment(["a b c"] * 3, 2, verbose=0)
        assert capsys.readouterr().out == ""


class TestBadInput:
    @pytest.mark.parametrize(
        ("texts", "place"),
        [
            (["a", ""], r"texts\[1\]=''"),
            (["a", "b", " \n"], r"texts\[2\]=' \\n'"),
            ([("a", "b"), ("c", "")], r"texts\[1\]\[1\]=''"),
        ],
        ids=["empty", "white", "pair"],
    )
    def test_text_without_words(self, texts, place):
        with pytest.raises(ValueError, match=f"A text without words cannot .*{place}. Leave it"):
            augment(texts, verbose=0)

    def test_split_finds_no_words(self):
        with pytest.raises(ValueError, match="or give a split= that finds its words"):
            augment(["a"], split=lambda text: [], verbose=0)

    @pytest.mark.parametrize("texts", [[], "a film"])
    def test_no_texts(self, texts):
        with pytest.raises(ValueError, match="texts must be a list with a text in it"):
            augment(texts, verbose=0)

    @pytest.mark.parametrize("text", [b"a", None, 3], ids=repr)
    def test_text_no_string(self, text):
        with pytest.raises(ValueError, match=r"texts must all be strings.*Received: texts\[1\]="):
            augment(["a", text], verbose=0)

    @pytest.mark.parametrize("pair", [("a", "b", "c"), "ab"], ids=repr)
    def test_no_pair(self, pair):
        with pytest.raises(ValueError, match=r"texts\[1\]=.*Words to tag cannot be augmented"):
            augment([("a", "b"), pair], verbose=0)

    @pytest.mark.parametrize("name", ["mask_rate", "replace_rate", "ngram_rate"])
    @pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "0.1", None], ids=repr)
    def test_rate(self, name, rate):
        with pytest.raises(ValueError, match=rf"{name} must be a rate in \[0, 1\]. Received: "):
            augment(["a"], **{name: rate})

    def test_sum_of_rates(self):
        with pytest.raises(ValueError, match=r"mask_rate=0\.6, replace_rate=0\.5"):
            augment(["a"], mask_rate=0.6, replace_rate=0.5)

    @pytest.mark.parametrize("name", ["num_iterations", "max_ngram", "num_workers"])
    @pytest.mark.parametrize("count", [0, 1.5, True], ids=repr)
    def test_count(self, name, count):
        with pytest.raises(ValueError, match=f"{name} must be an integer of 1 or more. Received"):
            augment(["a"], **{name: count})

    @pytest.mark.parametrize("seed", [-1, 0.5, None], ids=repr)
    def test_seed(self, seed):
        with pytest.raises(ValueError, match=r"seed must be an integer of 0 or more\. Received"):
            augment(["a"], seed=seed)

    def test_number_of_tags(self):
        with pytest.raises(ValueError, match="1 tags for the 2 words"):
            augment(["a b"], tagger=lambda words: ["X"], verbose=0)
