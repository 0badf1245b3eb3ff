"""Reads the texts of a job; the suffix of a file's name shows its format."""

import json
import pathlib
import sys

import numpy as np
import xxhash

from keras_distill.text import Examples
from keras_distill.text import read_csv
from keras_distill.text import read_jsonl
from keras_distill.text import read_lines
from keras_distill.text import read_tsv

_STDIN = "-"
_TABLES = {".csv": read_csv, ".tsv": read_tsv, ".jsonl": read_jsonl}
_OTHER_TABLES = {".json", ".jsonlines", ".ndjson", ".tab"}
_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


def read_labelled(path, text, label, class_names=None):
    """Reads a .csv, .tsv or .jsonl file, also with .gz.

    Raises:
        ValueError: If it is not such a file or lacks the columns.
    """
    read = _TABLES.get(_suffix(path))
    if read is None:
        raise ValueError(
            f"A file with labels must end in {', '.join(_TABLES)} (or with .gz behind it). "
            f"Received: {path}" + (", which is a folder." if pathlib.Path(path).is_dir() else "")
        )
    return _checked(path, read(path, text, label, class_names))


def read_unlabelled(path, text):
    """Reads the text column of a table, or the lines of another file; "-" is standard input."""
    if path == _STDIN:
        # Like files, the input is UTF-8, whatever the terminal's encoding is.
        return read_lines("standard input", sys.stdin.buffer)
    read = _TABLES.get(_suffix(path))
    if _suffix(path) in _OTHER_TABLES:
        raise ValueError(
            f"A table of texts must end in {', '.join(_TABLES)} (or with .gz behind it); of other "
            f"files each line is a text, labels included. Received: {path}. Rename it."
        )
    return _checked(path, read_lines(path) if read is None else read(path, text, label=None))


def _checked(path, examples):
    if examples.texts.ndim != 1:
        raise ValueError(
            f"{path} must have one text in each line. Received: pairs, such as "
            f"{examples.texts[0].tolist()!r:.80}. Join both into one text."
        )
    return examples


def num_duplicates(train, test):
    """Number of test texts that are also training texts, apart from whitespace."""
    known = set(map(_with_single_blanks, train.texts.tolist()))
    return sum(_with_single_blanks(text) in known for text in test.texts.tolist())


def without(examples, others):
    """The transfer set: the unlabelled texts that are in none of the others, each once."""
    known = {_with_single_blanks(text) for other in others for text in other.texts.tolist()}
    texts = dict.fromkeys(examples.texts.tolist())
    texts = [text for text in texts if _with_single_blanks(text) not in known]
    return Examples(np.array(texts, object))


def _with_single_blanks(text):
    # Students split at whitespace, so that such texts are the same to them.
    return " ".join(text.split())


def fingerprint(examples):
    """A hash of texts and labels."""
    digest = xxhash.xxh3_128()
    for text in examples.texts.tolist():
        digest.update(text.encode("utf-8") + b"\0")
    if examples.labels is not None:
        digest.update(examples.labels.astype("<i4").tobytes())
        digest.update("\0".join(examples.class_names).encode("utf-8"))
    return digest.hexdigest()


def fingerprint_vocabulary(vocabulary):
    """A hash of everything that affects the ids of a vocabulary."""
    config = {key: value for key, value in vocabulary.get_config().items() if key != "name"}
    return xxhash.xxh3_128_hexdigest(json.dumps(config, sort_keys=True, default=str).encode())


def _suffix(path):
    path = pathlib.Path(str(path).lower())
    return pathlib.Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def lengths_up_to(sequence_length):
    """A few lengths, of which the last is `sequence_length`."""
    return (*(length for length in _LENGTHS if length < sequence_length), sequence_length)
