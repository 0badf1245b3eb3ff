"""Few texts in place of CLINC150, and few steps."""

import dataclasses
import gzip

import numpy as np

from keras_distill import cli
from keras_distill import jobs
from keras_distill.jobs import text_teacher

REPLACED = {
    "num_steps = len(train.class_names), 2000": "num_steps = len(train.class_names), 10",
    "num_threads=(1, 2)": "num_threads=()",
}
WORDS = {"travel": "book flight hotel trip", "money": "pay bill bank cash", "food": "cook eat meal"}
FOLDER = "examples/data/clinc150"


@dataclasses.dataclass(frozen=True)
class ShortJob(jobs.TextJob):
    """A job whose students take 10 steps, and which times no model."""

    def __post_init__(self):
        object.__setattr__(self, "num_steps", 10)
        object.__setattr__(self, "num_threads", ())


class ShortTeacher(text_teacher.EnsembleTeacher):
    """An ensemble that takes 10 steps for each network."""

    def __init__(self, vocabulary, train, num_steps):
        super().__init__(vocabulary, train, 10)


def prepare(folder, monkeypatch):
    rng = np.random.default_rng(0)
    data = folder / FOLDER
    data.mkdir(parents=True)
    for name, num_texts in {"few_labels.tsv": 60, "test.tsv": 60, "unlabelled.txt": 90}.items():
        labels = rng.choice(list(WORDS), num_texts)
        texts = [" ".join(rng.choice(WORDS[label].split(), 3)) for label in labels]
        # None of a test text is an unlabelled one.
        texts = [f"{text} {name.split('.')[0]} {number}" for number, text in enumerate(texts)]
        lines = texts
        if name.endswith(".tsv"):
            lines = ["text\tlabel", *map("\t".join, zip(texts, labels))]
        with gzip.open(data / f"{name}.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    monkeypatch.setattr(cli, "TextJob", ShortJob)
    monkeypatch.setattr(text_teacher, "EnsembleTeacher", ShortTeacher)


def check(folder, names, printed):
    for path in ("out/student.tflite", "out/serving/1", "out/report.html", "report.html"):
        assert (folder / path).exists(), path
    assert "token_ids: int32 [1, 24]" in printed
