"""What is said of a teacher that knows little, before and behind the students' training."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_distill.jobs.teacher_knowledge import examine
from keras_distill.jobs.teacher_knowledge import is_worse
from keras_distill.jobs.teacher_knowledge import labels_differ
from keras_distill.jobs.teacher_knowledge import sample

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 4)).astype("float32")
Y = X.argmax(axis=1)


def classifier(kernel):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    model.set_weights([np.asarray(kernel, "float32"), np.zeros(4)])
    return model


GOOD = np.eye(4)
WEAK = GOOD + 1.5 * np.random.default_rng(0).normal(size=(4, 4))
TURNED = np.eye(4)[[1, 2, 3, 0]]


def accuracy(kernel):
    return np.mean((X @ kernel).argmax(axis=1) == Y)


def test_a_good_teacher_needs_no_word():
    assert examine(classifier(GOOD), (X, Y), is_ready=True, is_told=False) == ()


def test_a_weak_teacher_is_said_and_not_refused():
    assert 0.3 < accuracy(WEAK) < 0.6
    (sentence,) = examine(classifier(WEAK), (X, Y), is_ready=True, is_told=True)
    assert f"right on {accuracy(WEAK):.1%} of 300 labelled examples" in sentence


@pytest.mark.parametrize(
    ("is_ready", "remedy"), [(True, "pixels from 0 to 255"), (False, "more teacher_epochs")]
)
def test_chance(is_ready, remedy):
    with pytest.raises(ValueError, match=rf"as by chance\..*{remedy}"):
        examine(classifier(np.zeros((4, 4))), (X, Y), is_ready=is_ready, is_told=True)


def test_too_few_examples_to_refuse():
    """On 8 of them one that is right on three of four is often no better than chance."""
    (sentence,) = examine(classifier(0 * GOOD), (X[:49], Y[:49]), is_ready=True, is_told=True)
    assert "of 49 labelled examples" in sentence


def test_another_order():
    with pytest.raises(ValueError, match=r"would be on 100.0% with its classes in another order"):
        examine(classifier(TURNED), (X, Y), is_ready=True, is_told=False)


def test_labels_of_the_test_set_in_another_order():
    """All models had 0 % without a word."""
    assert labels_differ(classifier(GOOD), (X, Y)) == ()
    assert labels_differ(classifier(GOOD), (X[Y < 2], Y[Y < 2])) == ()
    (sentence,) = labels_differ(classifier(GOOD), (X, np.array([1, 2, 3, 0])[Y]))
    assert "right on 0.0% of 300 test examples, and would be on 100.0%" in sentence


def test_worse_than_the_student_alone():
    assert is_worse(classifier(GOOD), classifier(WEAK), (X, Y)) == ()
    (sentence,) = is_worse(classifier(WEAK), classifier(GOOD), (X, Y))
    assert f"right on {accuracy(WEAK):.1%} and 100.0% of 300 test examples" in sentence


def test_the_sample_is_of_all():
    assert sample(30, 0).tolist() == list(range(30))
    places = sample(50_000, 0)
    assert len(places) == len(set(places)) == 1000
    assert places[500] == pytest.approx(25_000, rel=0.1)
