"""Few texts in place of CLINC150, and few steps.

The command's job is planned, not run: tests/jobs runs whole ones. What the page does with its file
is done with the one that the same steps in Python write.
"""

import gzip
import shlex
import shutil

import numpy as np

from keras_distill_cli import command as cli

REPLACED = {
    "num_steps = len(train.class_names), 2000": "num_steps = len(train.class_names), 5",
    "num_threads=(1, 2)": "num_threads=()",
}
WORDS = {"travel": "book flight hotel trip", "money": "pay bill bank cash", "food": "cook eat meal"}
FOLDER = "examples/data/clinc150"


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


def plan(code, names):
    _, *arguments = shlex.split(code.replace("\\\n", " "))
    assert cli.main([*arguments, "--dry-run"]) == 0


def postpone(code, names):
    names["postponed"] = code.splitlines()


RUN = {"keras-distill text": plan, "keras-distill describe": postpone}


def check(folder, names, printed):
    assert "150 for the teacher to answer; 60 to test on" in printed
    assert (folder / "report.html").exists()
    (folder / "out").mkdir()
    shutil.copy(folder / "student.tflite", folder / "out")
    for line in names["postponed"]:
        assert cli.main(shlex.split(line)[1:]) == 0
