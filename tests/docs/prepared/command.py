"""The files that the commands read, and what the page says of the options."""

import dataclasses
import pathlib
import re

import keras
import numpy as np
from keras import layers

import keras_distill as kd

# The times are another test: each starts a process that imports TensorFlow.
REPLACED = {"--html comparison.html --threads 1": "--html comparison.html --threads"}
PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "command.md"
WORDS = ["good", "bad", "film", "very", "dull"]


def prepare(folder, monkeypatch):
    rows = [f"{word} film {n},{word}" for n in range(20) for word in ("good", "bad")]
    for name in ("reviews.csv", "test.csv"):
        pathlib.Path(name).write_text("\n".join(["text,label", *rows]) + "\n")
    pathlib.Path("more.txt").write_text("very good\nvery bad film\n")
    pathlib.Path("labels.txt").write_text("bad\ngood\n")
    words = kd.text.WordVocabulary(WORDS, sequence_length=16)
    student = kd.students.text_cnn(words, 2, embedding_dim=4, filters=4)
    student.save("student.keras")
    texts = keras.Input((), dtype="string", name="text")
    keras.Model(texts, student(words(texts))).save("teacher.keras")
    kd.export_saved_model(student, "models/reviews", preprocessor=words)
    ids = np.pad(words([row.split(",")[0] for row in rows]).numpy(), [(0, 0), (0, 13)])
    np.savez("test_ids.npz", x=ids, y=np.arange(40) % 2)
    _write_photos(pathlib.Path("photos"))


def _write_photos(folder):
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 250, (16, 16, 3))
            keras.utils.save_img(folder / name / f"{number}.png", pixels, scale=False)
    inputs = keras.Input((16, 16, 3))
    logits = layers.Dense(2)(layers.GlobalAveragePooling2D()(inputs))
    keras.Model(inputs, logits).save("teacher_of_photos.keras")


def check(folder, names, printed):
    assert "Nothing was written" in printed
    assert not (folder / "out").exists()
    assert "very good film\n  " in printed
    assert "2 answers" in printed
    assert (folder / "served" / "1").is_dir()
    assert (folder / "comparison.html").exists()
    assert "2 threads: median" in printed
    parts = PAGE.read_text().split("## A whole job with images")
    for part, job in zip(parts, (kd.jobs.TextJob, kd.jobs.ImageJob)):
        defaults = {field.name: field.default for field in dataclasses.fields(job)}
        defaults |= {"augment": 0, "threads": "1"}
        rows = re.findall(r"^\| `--([\w-]+)[^`]*` \| `?([^|`]+)`? \|", part, re.MULTILINE)
        assert len(rows) > 4
        for option, default in rows:
            name = option.replace("-", "_")
            if name in defaults:
                assert str(defaults[name]) == default.strip() or defaults[name] is None, option
