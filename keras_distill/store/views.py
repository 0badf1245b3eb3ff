"""The teacher's view of an example, from which the fingerprint is computed."""

import keras
import numpy as np
import tensorflow as tf

from keras_distill.data.inputs import is_missing
from keras_distill.data.inputs import unpack


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
