"""The examples for a comparison, in memory: inputs, labels and names of classes."""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_distill.data.inputs import is_missing
from keras_distill.data.inputs import unpack
from keras_distill.text import Examples
from keras_distill.text import from_lists

_OF_IDS_AND_WORDS = {"int32", "int64", "object"}


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Examples in memory, none of which the models were trained on.

    Args:
        student, teacher: Nested `Column`s: the inputs of each of them.
        labels: int `(examples,)`, float `(examples,)` for regression, a list of int arrays
            `(words,)` for tagging; None without labels.
        class_names: Tuple of str, or None.
    """

    student: Any
    teacher: Any
    labels: Any
    class_names: tuple | None

    def __len__(self):
        return len(keras.tree.flatten(self.student)[0])


def read_held_out(data):
    """Reads `text.Examples`, arrays `(x, y)` or `(x,)`, or a batched `tf.data.Dataset` of them.

    Raises:
        ValueError: If the data is something else, or empty.
    """
    class_names = None
    if isinstance(data, Examples):
        class_names = data.class_names
        is_tagging = data.texts.ndim == 1 and len(data) and not isinstance(data.texts[0], str)
        if not is_tagging:
            batches = [unpack((data.texts, data.labels))]
        else:
            batches = _unpacked(data.dataset().ragged_batch(64))
    elif isinstance(data, tf.data.Dataset):
        batches = _unpacked(data)
    elif isinstance(data, tuple) and len(data) in (1, 2, 3):
        x, *rest = data
        is_list_of_texts = isinstance(x, list) and all(isinstance(text, str) for text in x)
        batches = [unpack((np.array(x, object) if is_list_of_texts else x, *rest))]
    else:
        raise ValueError(
            "data must be text.Examples, a tuple (x, y), or a batched tf.data.Dataset of (x, y). "
            f"Received: data of type {type(data).__name__}"
        )
    leaves = [leaf for inputs, _, _ in batches for leaf in keras.tree.flatten(inputs)]
    if not all(hasattr(leaf, "shape") for leaf in leaves if leaf is not None):
        raise ValueError(
            "data must hold arrays, or dicts and tuples of arrays. Received: "
            f"x with {leaves[0]!r:.80} in it. Make arrays of lists: np.array(x)."
        )
    for leaf in leaves:
        is_object = isinstance(leaf, np.ndarray) and leaf.dtype.hasobject and leaf.size
        if is_object and not isinstance(leaf.flat[0], (str, bytes)):
            raise ValueError(
                "data must hold arrays of numbers or of texts. Received: Python objects in x, "
                f"such as {leaf.flat[0]!r:.80}. Make an array of numbers: np.array(x, 'float32')."
            )
    if not batches or not all(leaf.shape[0] for leaf in keras.tree.flatten(batches[0][0])):
        raise ValueError("data must hold an example. Received: an empty data set.")
    if any(weight is not None for _, _, weight in batches):
        raise ValueError(
            "data must have no sample weights: all examples count the same. Received: weights as "
            "the third part. Leave them out."
        )
    inputs = [inputs for inputs, _, _ in batches]
    student = columns_of([part.student for part in inputs])
    teacher = student
    if not is_missing(inputs[0].teacher):
        teacher = columns_of([part.teacher for part in inputs])
    labels, names = _labels([y for _, y, _ in batches])
    class_names = class_names if names is None else names
    columns = keras.tree.flatten((student, teacher))
    lengths = {len(part) for part in (*columns, *([] if labels is None else [labels]))}
    if len(lengths) > 1:
        raise ValueError(
            f"data must have as many labels as inputs. Received: {sorted(lengths)} examples"
        )
    names = None if class_names is None else tuple(map(str, class_names))
    return HeldOut(student, teacher, labels, names)


def _unpacked(dataset):
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("data must be finite. Received: an endless data set. Take a part of it.")
    return [unpack(batch) for batch in dataset]


def _labels(parts):
    """Labels in the form of `HeldOut`, and the names of the classes if labels are names."""
    if parts[0] is None:
        return None, None
    # A list of numbers or names becomes an array; a list of arrays has labels of several outputs.
    parts = [
        np.asarray(part, object if any(isinstance(v, (str, bytes)) for v in part) else None)
        if isinstance(part, list) and part and all(np.ndim(value) == 0 for value in part)
        else part
        for part in parts
    ]
    if any(isinstance(part, (dict, list)) for part in parts):
        raise ValueError(
            "data must have one label for each example, as models with one output have. Received: "
            f"labels of type {type(parts[0]).__name__}. Compare one output after the other."
        )
    if isinstance(parts[0], tf.RaggedTensor):
        return [row.numpy() for part in parts for row in part], None
    parts = [np.asarray(part) for part in parts]
    if parts[0].ndim == 2 and parts[0].shape[1] == 1:
        parts = [part[:, 0] for part in parts]
    if parts[0].ndim == 1 and parts[0].dtype.kind in "OSU":
        named = from_lists([""] * sum(map(len, parts)), [_name(v) for p in parts for v in p])
        return named.labels.astype("int64"), named.class_names
    if parts[0].dtype.kind not in "biuf":
        raise ValueError(
            "data must have labels that are numbers or names of classes, one for each example. "
            f"Received: labels of type {parts[0].dtype} and shape {parts[0].shape}"
        )
    if parts[0].ndim == 1:
        labels = np.concatenate(parts)
        if labels.dtype.kind != "f":
            return labels.astype("int64"), None
        if not np.isfinite(labels).all():
            raise ValueError(
                "data must have finite labels. Received: NaN or infinity for "
                f"{np.sum(~np.isfinite(labels)):,} of {len(labels):,} examples. Leave these out."
            )
        return labels, None
    if all(part.ndim == 2 and _is_one_hot(part) for part in parts):
        return np.concatenate([part.argmax(axis=1) for part in parts]), None
    is_0_or_1 = all(np.isin(part, (0, 1)).all() for part in parts)
    if parts[0].ndim == 2 and (parts[0].dtype.kind in "iu" or is_0_or_1):
        rows = [row for part in parts for row in part.astype("int64")]
        # The padding of -1 after the words is removed.
        return [row[: np.max(np.flatnonzero(row >= 0), initial=-1) + 1] for row in rows], None
    raise ValueError(
        "data must have labels (examples,), one-hot (examples, classes), or tags (examples, words) "
        f"padded with -1. Received: labels of shape {parts[0].shape} and type {parts[0].dtype}"
    )


def _name(label):
    try:
        return label.decode() if isinstance(label, bytes) else label
    except UnicodeDecodeError:
        raise ValueError(
            f"data must have names of classes in UTF-8. Received: the label {label!r:.80}"
        ) from None


def _is_one_hot(labels):
    return bool(np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(axis=1) == 1))


class Column:
    """One input of every example.

    Args:
        parts: List of arrays with a first axis of examples; their other sizes may differ.
    """

    def __init__(self, parts):
        parts = [_as_array(part) for part in parts]
        self.is_text = parts[0].dtype == object
        if len({part.shape[1:] for part in parts}) == 1:
            self._rows = np.concatenate(parts)
        else:
            self._rows = [row for part in parts for row in part]

    def __len__(self):
        return len(self._rows)

    def sizes(self):
        """Approximate length of each example, int `(examples,)`, to batch similar lengths."""
        if self.is_text:
            return np.array([sum(map(len, np.ravel(row))) for row in self._rows])
        return np.array([row.size for row in self._rows])

    def shapes(self):
        """The part of each example's shape that must be equal within a batch; None for none."""
        if isinstance(self._rows, np.ndarray) or _may_be_padded(self._rows):
            return None
        return [row.shape for row in self._rows]

    def take(self, indices):
        """A batch of examples, an array; shorter rows of ids or words are padded."""
        if isinstance(self._rows, np.ndarray):
            return self._rows[indices]
        rows = [self._rows[index] for index in indices]
        shape = np.max([row.shape for row in rows], axis=0)
        batch = np.full((len(rows), *shape), b"" if self.is_text else 0, rows[0].dtype)
        for filled, row in zip(batch, rows):
            filled[tuple(map(slice, row.shape))] = row
        return batch


def columns_of(parts):
    """Nested `Column`s from a list of batches with the same structure."""
    return keras.tree.map_structure(lambda *leaves: Column(leaves), *parts)


def take(columns, indices):
    """A batch of nested columns, as tensors for strings and arrays for numbers."""

    def take_one(column):
        values = column.take(indices)
        return tf.constant(values) if column.is_text else values

    return keras.tree.map_structure(take_one, columns)


def by_length(columns):
    """Indices of all examples, the longest first, so that memory runs out at once or never."""
    sizes = sum(column.sizes() for column in keras.tree.flatten(columns))
    return np.argsort(-sizes, kind="stable")


def batches(columns, batch_size):
    """Indices of the examples of each batch; examples of similar length are batched together.

    Ids and words are padded to the longest example of their batch, with 0 and "". Measured
    numbers, such as pixels, are not padded: only examples of equal shapes are batched together.
    """
    order = by_length(columns)
    shapes = [column.shapes() for column in keras.tree.flatten(columns)]
    shapes = list(zip(*(of_all for of_all in shapes if of_all is not None)))
    groups = {}
    for place in order:
        groups.setdefault(shapes[place] if shapes else None, []).append(place)
    for group in groups.values():
        for start in range(0, len(group), batch_size):
            yield np.array(group[start : start + batch_size])


def _may_be_padded(rows):
    """Whether rows are ids or words of a text or a pair of texts, with the length as last axis."""
    dtypes = {row.dtype.name for row in rows}
    one_shape = len({row.shape[:-1] for row in rows}) == 1
    return dtypes <= _OF_IDS_AND_WORDS and rows[0].ndim in (1, 2) and one_shape


def _as_array(values):
    if isinstance(values, tf.RaggedTensor):
        values = values.to_tensor()
    values = np.asarray(values)
    if values.dtype.kind in "US":
        values = values.astype(object)
    if values.dtype == object:
        encode = np.frompyfunc(
            lambda text: text if isinstance(text, bytes) else text.encode(), 1, 1
        )
        values = encode(values)
    return values
