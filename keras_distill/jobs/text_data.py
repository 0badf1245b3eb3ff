"""The texts of a job: read by their files' names, split, checked."""

import pathlib
import sys

import numpy as np
import xxhash

from keras_distill.imports import import_module
from keras_distill.text import Examples
from keras_distill.text import from_lists
from keras_distill.text import read_csv
from keras_distill.text import read_jsonl
from keras_distill.text import read_lines
from keras_distill.text import read_tsv

_STDIN = "-"
_TABLES = {".csv": read_csv, ".tsv": read_tsv, ".jsonl": read_jsonl}


def read_labelled(path, text, label, class_names=None):
    """Reads a .csv, .tsv or .jsonl file, also with .gz.

    Raises:
        ValueError: If it is no such file or lacks the columns.
    """
    read = _TABLES.get(_suffix(path))
    if read is None:
        raise ValueError(
            f"A file with labels must end in {', '.join(_TABLES)} (or with .gz behind it). "
            f"Received: {path}"
        )
    return read(path, text, label, class_names)


def read_unlabelled(path, text):
    """Reads texts: of a table its column, of another file its lines; "-" is standard input."""
    if path == _STDIN:
        lines = [line.strip() for line in sys.stdin if line.strip()]
        if not lines:
            raise ValueError("Standard input must have a text on a line. Received: none.")
        return from_lists(lines)
    read = _TABLES.get(_suffix(path))
    return read_lines(path) if read is None else read(path, text, label=None)


def check_classes(train):
    """Raises `ValueError` unless there are two classes to tell apart."""
    if len(train.class_names) < 2:
        raise ValueError(
            "The training file must have at least two classes. Received: one, "
            f"{train.class_names[0]!r}. Is the label column the right one?"
        )


def split(train, test_rate, seed):
    """Splits off a test set in which each class has its share.

    Raises:
        ValueError: If a class has a single example, or there are fewer test examples than
            classes.
    """
    counts = np.bincount(train.labels, minlength=len(train.class_names))
    rare = [name for name, count in zip(train.class_names, counts) if count < 2]
    num_test = round(test_rate * len(train))
    if rare or num_test < len(train.class_names):
        problem = f"{len(train)} examples of {len(train.class_names)} classes"
        if rare:
            problem += f", and a single one of {', '.join(map(repr, rare[:5]))}"
        raise ValueError(
            "Without a test file, every class needs two examples, and the test set at least as "
            f"many examples as there are classes. Received: {problem}. Give a test file, or more "
            "examples."
        )
    places = import_module("sklearn.model_selection").train_test_split(
        np.arange(len(train)), test_size=num_test, random_state=seed, stratify=train.labels
    )
    return tuple(train[np.sort(part)] for part in places)


def num_duplicates(train, test):
    """Number of test texts that are training texts, too."""
    known = set(train.texts.tolist())
    return sum(text in known for text in test.texts.tolist())


def without(examples, others):
    """The unlabelled texts that are in none of the others, each once: a transfer set."""
    known = {text for other in others for text in other.texts.tolist()}
    texts = [text for text in dict.fromkeys(examples.texts.tolist()) if text not in known]
    return Examples(np.array(texts, object))


def fingerprint(examples):
    """A hash of texts and labels."""
    digest = xxhash.xxh3_128()
    for text in examples.texts.tolist():
        digest.update(text.encode("utf-8") + b"\0")
    if examples.labels is not None:
        digest.update(examples.labels.astype("<i4").tobytes())
        digest.update("\0".join(examples.class_names).encode("utf-8"))
    return digest.hexdigest()


def _suffix(path):
    path = pathlib.Path(path)
    return pathlib.Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
