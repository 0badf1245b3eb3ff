"""The answer's words in each case; figures come from classifiers that are right by decree."""

import shlex

import numpy as np
import pytest

import keras_distill as kd
from keras_distill.evaluation.costs import Cost
from keras_distill.jobs.answer_in_words import _cost
from keras_distill.jobs.answer_in_words import in_words

FILES = {
    "phone": "out/student.tflite",
    "server": "out/serving",
    "alone": "out/alone.keras",
    "report": "out/report.html",
}


def classifier(num_right, size):
    """A function from indices of examples to logits, right on the first ones."""
    right = (np.arange(size) < num_right).astype("float32")

    def logits(x):
        places = np.asarray(x).astype(int).ravel()
        labels = places % 2
        return 4 * np.eye(2, dtype="float32")[np.where(right[places], labels, 1 - labels)]

    return logits


def answer(size=1000, examples=("where is my card",), files=FILES, notes=(), **num_right):
    num_right = {"teacher": 900, "alone": 800, "distilled": 850, "phone": 850, **num_right}
    x = np.arange(size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        comparison = kd.compare(
            {name: classifier(count, size) for name, count in num_right.items()},
            (x.astype("float32"), x % 2),
            num_threads=(),
            verbose=0,
        )
    return in_words(
        comparison, files, unit="a text", examples=examples, page="docs/page.md", notes=notes
    )


def test_a_gain():
    text = answer()
    assert text.splitlines()[2:] == [
        "Accuracy     85.0 %   teacher 90.0 %, the same student alone 80.0 %",
        "Gain         +5.0 points   (95 % interval 3.6 to 6.4; one training run)",
        "Try it       keras-distill predict out/student.tflite 'where is my card'",
        "In an app    docs/page.md",
        "Report       out/report.html",
    ]
    assert text.startswith("Phone file   out/student.tflite\n")
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("phone", "gain", "why"),
    [
        (803, "+0.3", "no clear gain: the interval includes 0"),
        (800, "+0.0", "no clear gain: the interval includes 0"),
        (799, "-0.1", "no clear gain: the interval includes 0"),
        (760, "-4.0", "no gain: it is better without the teacher"),
    ],
)
def test_no_gain(phone, gain, why):
    lines = answer(phone=phone).splitlines()
    assert lines[3].startswith(f"Gain         {gain} points")
    assert lines[4] == "Ship         the student alone: out/alone.keras"
    assert lines[5] == f"Why          {why}"


@pytest.mark.parametrize(
    ("ms", "said"), [({1: 0.0297, 2: 0.5}, "0.77 MB, 0.03 ms a text"), ({}, "0.77 MB")]
)
def test_size_and_time_of_the_file(ms, said):
    assert _cost(Cost(None, None, 773_000, ms, {}, None), "a text") == said


def test_few_examples_are_said_to_be_few():
    text = answer(size=60, teacher=58, alone=50, distilled=55, phone=55)
    assert "Note: 60 test " in text
    assert max(map(len, text.splitlines())) <= 80


class TestTheCommand:
    def test_it_is_quoted_for_the_shell(self):
        files = {**FILES, "phone": "my out/student.tflite"}
        (line,) = (p for p in answer(files=files, examples=["it's $5"]).splitlines() if "Try" in p)
        command = shlex.split(line.removeprefix("Try it"))
        assert command == ["keras-distill", "predict", "my out/student.tflite", "it's $5"]

    def test_the_first_text_that_fits(self):
        texts = ["long " * 20, "-1", " ", "bell\a", "it fits"]
        assert "out/student.tflite 'it fits'\n" in answer(examples=texts)
        assert f"out/student.tflite '{'long ' * 20}'\n" in answer(examples=texts[:1])

    def test_none_without_a_real_one(self):
        assert "predict" not in answer(examples=["-1"])


def test_notes_are_wrapped_and_said_once():
    note = "Warning: " + "word " * 30
    text = answer(notes=[note, note])
    assert text.count("Warning:") == 1
    assert max(map(len, text.splitlines())) <= 80


def test_paths_cannot_control_the_terminal():
    assert "\x1b" not in answer(files={**FILES, "phone": "\x1b[2J.tflite"})
