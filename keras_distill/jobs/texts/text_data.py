"""Reads the texts of a job; the suffix of a file's name shows its format."""

import json
import pathlib
import sys

import numpy as np
import xxhash

from keras_distill.text import Examples
from keras_distill.text import read_lines
from keras_distill.text import read_table
from keras_distill.text.reading.files import table_format

_STDIN = "-"
_TABLES = ".csv, .tsv or .jsonl (or with .gz behind it)"
_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


def read_labelled(path, text, label, class_names=None):
    """Reads a .csv, .tsv or .jsonl file, also with .gz.

    Raises:
        ValueError: If it is not such a file or lacks the columns.
    """
    if table_format(path) is None:
        raise ValueError(
            f"A file with labels must end in {_TABLES}. "
            f"Received: {path}" + (", which is a folder." if pathlib.Path(path).is_dir() else "")
        )
    return _checked(path, read_table(path, text, label, class_names))


def read_unlabelled(path, text):
    """Reads the text column of a table, or the lines of another file; "-" is standard input."""
    if path == _STDIN:
        # Like files, the input is UTF-8, whatever the terminal's encoding is.
        return read_lines("standard input", sys.stdin.buffer)
    if str(path).lower().endswith((".json", ".json.gz")):
        raise ValueError(
            f"A table of texts must end in {_TABLES}; in other files each line is a text, with all "
            f"that stands in it. Received: {path}. Rename it."
        )
    is_table = table_format(path) is not None
    return _checked(path, read_table(path, text, label=None) if is_table else read_lines(path))


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


def lengths_up_to(sequence_length):
    """A few lengths, of which the last is `sequence_length`."""
    return (*(length for length in _LENGTHS if length < sequence_length), sequence_length)
