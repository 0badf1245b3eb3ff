"""The simplest baseline of a text job."""

import numpy as np
import pytest

from keras_distill.jobs.texts.linear_baseline import linear_baseline
from keras_distill.text import from_lists

TRAIN = from_lists(
    ["a good film", "good story", "fine and good", "a dull film", "dull story", "dull and bad"],
    ["pos", "pos", "pos", "neg", "neg", "neg"],
)


def test_words_that_decide_are_learned():
    test = from_lists(["good", "so good", "dull", "good good"], ["pos", "pos", "neg", "neg"])
    baseline = linear_baseline(TRAIN, test, seed=0)
    assert baseline.accuracy == 0.75
    # One row of weights tells two classes apart.
    assert 20 < baseline.num_parameters < 200


def test_the_same_every_time():
    rng = np.random.default_rng(0)
    words = ["red", "green", "blue", "one", "two"]
    texts = [" ".join(rng.choice(words, 4)) for _ in range(60)]
    noise = from_lists(texts, rng.integers(0, 3, 60).tolist())
    assert linear_baseline(noise, noise, seed=1) == linear_baseline(noise, noise, seed=1)


@pytest.mark.parametrize(
    "texts", [["很好", "不好", "很好很好"], ["!", "?", "! !"], ["a", "b", "a a"]]
)
def test_texts_without_words_in_latin_letters(texts):
    train = from_lists(texts, ["x", "y", "x"])
    assert linear_baseline(train, train, seed=0).accuracy == 1


def test_a_large_job_has_none(monkeypatch):
    monkeypatch.setattr("keras_distill.jobs.texts.linear_baseline._LARGEST", 11)
    assert linear_baseline(TRAIN, TRAIN, seed=0) is None
