"""The models' inputs in memory: rows of a data set, taken in any order and padded."""

import keras
import numpy as np
import tensorflow as tf

_OF_IDS_AND_WORDS = {"int32", "int64", "object"}


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
