"""What the teacher reads of an example: its view, and the fingerprint by which a store finds it."""

import keras
import numpy as np
import tensorflow as tf
import xxhash

from keras_distill.data.inputs import is_missing
from keras_distill.data.inputs import unpack

# The lookup searches for the first half; the second distinguishes examples with an equal first.
_WORDS_PER_FINGERPRINT = 2


def teacher_view(inputs):
    """The teacher's part of `DistillationInputs`; without one, the student's part."""
    return inputs.student if is_missing(inputs.teacher) else inputs.teacher


def unpack_element(data):
    """As `unpack`, for the arguments that a data set's map passes to its function."""
    return unpack(data if len(data) > 1 else data[0])


def example_spec(spec):
    """The parts of one example as a JSON-compatible list of [path, dtype, shape]."""
    return [
        ["/".join(map(str, path)), leaf.dtype.name, leaf.shape.as_list()]
        for path, leaf in keras.tree.flatten_with_path(spec)
    ]


def take(x, places):
    """The examples of a batch at some places."""
    return tf.nest.map_structure(lambda leaf: tf.gather(leaf, places), x)


def rows_of(x):
    """The examples of a batch, as `fingerprint_rows` takes them.

    Args:
        x: Nested tensors or arrays, ragged if examples differ in length.

    Returns:
        A list with an array, or a list of arrays, for each tensor.
    """
    return [
        leaf.to_list() if isinstance(leaf, tf.RaggedTensor) else np.asarray(leaf)
        for leaf in keras.tree.flatten(x)
    ]


def describe_example(columns, row):
    """A short text that identifies an example."""
    parts = []
    for column in columns:
        entry = np.asarray(column[row])
        if entry.dtype.kind in "OSU":
            texts = [text.decode("utf-8", "replace") for text in entry.reshape(-1).tolist()]
            parts.append(f"{' '.join(texts)[:80]!r}")
        else:
            parts.append(f"{entry.dtype.name} {entry.shape} that begins {entry.reshape(-1)[:4]}")
    return ", ".join(parts)


def fingerprint_rows(columns):
    """Hashes examples by their contents, types and shapes.

    The hash is XXH3 with 128 bits: among 10^9 examples, two have the same hash with a probability
    of 10^-21.

    Args:
        columns: List of the parts of the examples: arrays of numbers or of bytes with a
            first axis of examples, or lists of arrays if their lengths differ.

    Returns:
        uint64, `(num_examples, 2)`.
    """
    digests, *others = map(_row_digests, columns)
    if others:
        digests = [_digest(b"".join(parts)) for parts in zip(digests, *others)]
    # The byte order is fixed, so that a store can move between machines.
    words = np.frombuffer(b"".join(digests), "<u8").astype("uint64")
    return words.reshape(-1, _WORDS_PER_FINGERPRINT)


def _row_digests(column):
    if isinstance(column, list):
        return [_row_digests(_as_array(row)[None])[0] for row in column]
    # The seed distinguishes rows of other types and shapes.
    seed = xxhash.xxh3_64_intdigest(f"{column.dtype.str}{column.shape[1:]}".encode())
    if column.dtype == object:
        return [_digest(_join_texts(row), seed) for row in column]
    if column.size == 0:
        return [_digest(b"", seed)] * len(column)
    content = np.ascontiguousarray(column).data.cast("B")
    size = len(content) // len(column)
    return [_digest(content[start : start + size], seed) for start in range(0, len(content), size)]


def _as_array(row):
    is_text = len(row) == 0 or isinstance(row[0], bytes)
    return np.array(row, object) if is_text else np.asarray(row)


def _join_texts(row):
    if isinstance(row, bytes):
        return row
    return b"".join([b"%d:%b" % (len(text), text) for text in row.reshape(-1).tolist()])


_digest = xxhash.xxh3_128_digest
