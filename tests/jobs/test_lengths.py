"""A length that no text has costs nothing; one that no machine has memory for is an error."""

import numpy as np
import pytest

import keras_distill as kd
from keras_distill.jobs.texts.lengths import check_memory
from keras_distill.jobs.texts.lengths import limited_to
from keras_distill.jobs.texts.lengths import teacher_length
from keras_distill.jobs.texts.text_student import make_student

TEXTS = np.array(["a good film", "b " * 1500], object)


def words(sequence_length, **settings):
    return kd.text.WordVocabulary(["a", "b"], sequence_length=sequence_length, **settings)


@pytest.mark.parametrize(
    ("wanted", "found"), [(64, 64), (1024, 1024), (1400, 1400), (100_000, 1500)]
)
def test_the_longest_text_is_the_limit(wanted, found):
    vocabulary = limited_to(words(wanted), TEXTS)
    assert vocabulary.sequence_length == found
    assert vocabulary.tokens == words(wanted).tokens


def test_short_texts_keep_a_length_that_costs_little():
    assert limited_to(words(5000), TEXTS[:1]).sequence_length == 1024
    assert teacher_length(5000, TEXTS[:1]) == 1024
    assert teacher_length(5000, TEXTS) == 3002
    assert teacher_length(128, TEXTS) == 128
    # A byte-level tokenizer, as RoBERTa's, may cut a character into its bytes.
    assert teacher_length(9000, ["\N{GRINNING FACE}" * 1500]) == 6002


@pytest.mark.parametrize("kind", ["text_cnn", "transformer"])
def test_memory_for_a_length(kind):
    student = make_student(kind, words(100_000), 2, 0.0)
    check_memory(student, 1024, 1024, 1, False, memory=0)
    check_memory(student, 100_000, 100_000, 1, False, memory=1e18)
    message = r"must be less, such as .* need about .* GB, and there are 8 GB"
    with pytest.raises(ValueError, match=message):
        check_memory(student, 100_000, 100_000, 1, False, memory=8e9)
    with pytest.raises(
        ValueError, match=r"Received: sequence_length=100,000, and a text of 50,000\."
    ):
        check_memory(student, 100_000, 200_000, 2, False, memory=8e9)


def test_an_lstm_without_loops():
    student = make_student("bilstm", words(100_000), 2, 0.0)
    with pytest.raises(ValueError, match=r"such as 3,125: .* 100,000 copies of an LSTM"):
        check_memory(student, 100_000, 100_000, 1, True, memory=1e18)
    check_memory(student, 4000, 4000, 1, True, memory=1e18)
