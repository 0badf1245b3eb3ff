"""New texts are made of what the student's vocabulary knows."""

import numpy as np

from keras_distill.jobs.texts import text_vocabulary
from keras_distill.jobs.texts.new_texts import characters
from keras_distill.jobs.texts.new_texts import make_new_texts

CHINESE = ["这部电影很好看", "演员演得非常棒", "酒店房间很小", "服务态度也很差", "交通便利"] * 6


def test_words_are_masked():
    made = make_new_texts(["a good film", "a bad film", ""] * 20, 3, True, seed=0)
    assert any("[MASK]" in text for text in made)
    assert all(set(text.split()) <= {"a", "good", "bad", "film", "[MASK]"} for text in made)


def test_chinese_is_made_of_known_pieces():
    """Masks became "[", "m", "##a", "##s", "##k" and "]": pieces of no Chinese text."""
    made = make_new_texts(CHINESE, 4, False, seed=0)
    assert len(made) > 10
    assert set("".join(made)) <= set("".join(CHINESE))
    # Characters are still exchanged, not only cut out.
    assert any(text not in "".join(CHINESE) for text in made)
    texts = np.array(CHINESE, object)
    vocabulary = text_vocabulary.learn_vocabulary(texts, 300, 32, are_words=False)
    assert text_vocabulary.known_share(vocabulary, made) == 1


def test_characters_keep_their_marks():
    """A vowel sign alone is no character of Thai; Latin words among Chinese are words."""
    assert characters("ดีมาก") == ["ดี", "ม", "า", "ก"]
    assert characters("这台iPhone 14很好") == ["这", "台", "iPhone", " ", "14", "很", "好"]
    assert characters("\u0e35a") == ["\u0e35", "a"]
    assert characters("") == []
