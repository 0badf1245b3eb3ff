"""The reviews and the teacher that label.py reads, and its command line."""

import sys

import keras
import pytest

TEXTS = ["the film is good", "bad", "the cafe is bad ."]


def prepare(folder, monkeypatch):
    pytest.importorskip("apache_beam", reason="Needs Apache Beam: pip install keras-distill[beam]")
    rows = "".join(f"{text}\tgood\n" for text in TEXTS)
    (folder / "reviews.tsv").write_text(f"text\tlabel\n{rows}")
    words = " ".join(TEXTS).split()
    keras.Sequential(
        [
            keras.Input((), dtype="string"),
            keras.layers.TextVectorization(vocabulary=sorted(set(words)), output_sequence_length=8),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    ).save(folder / "teacher.keras")
    monkeypatch.setattr(sys, "argv", ["label.py", str(folder)])


def check(folder, names, printed):
    assert printed == f"{len(TEXTS)} examples are labelled.\n"
    teacher = keras.models.load_model(folder / "teacher.keras")
    assert len(names["kd"].TeacherStore.open(folder / "store", teacher)) == len(TEXTS)
    assert list(names["Photos"](["a", "b", "c"])[1:].paths) == ["b", "c"]
