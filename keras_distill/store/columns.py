"""The storage of one output of the teacher in the shards: a row for each example."""

import math

import numpy as np

from keras_distill.store.probabilities import decode_values
from keras_distill.store.probabilities import encode_values
from keras_distill.store.probabilities import logits_name


class FixedColumn:
    """Rows of the same shape: an array `(examples, *shape)`.

    Args:
        name: The output's name, which is also the file's name.
        shape: Shape of a row.
        dtype: The stored dtype, "float16" or "float32".
        as_logits: Whether probabilities are stored as logits.
    """

    def __init__(self, name, shape, dtype, as_logits=False):
        self.name, self.shape = name, tuple(shape)
        self._stored_dtype, self._as_logits = dtype, as_logits
        # The dtype in which rows are read.
        self.dtype = "float32" if as_logits else dtype

    def encode(self, rows):
        """Returns arrays by file name, of a list of rows."""
        rows = np.array(rows, "float32").reshape(-1, *self.shape)
        return encode_values(self.name, rows, self._stored_dtype, self._as_logits)

    def gather(self, num_rows, parts):
        """Returns a batch of rows, 0 where no part has one.

        Args:
            num_rows: Size of the batch.
            parts: List of `(members, shard, places)`: the rows, the shard that has them, and
                their places in it.
        """
        batch = np.zeros((num_rows, *self.shape), self.dtype)
        for members, shard, places in parts:
            batch[members] = decode_values(self.name, shard, places)
        return batch

    def wrong_arrays(self, shard):
        """Names of a shard's index arrays that have impossible values."""
        return []

    def specs(self, shard, num_rows):
        """Dict from the names of a shard's arrays to their types and shapes."""
        name = _values_name(self.name, shard, self._as_logits)
        return {name: (self._stored_dtype, (num_rows, *self.shape))}


class RaggedColumn:
    """Rows of different shapes, such as hidden states of texts; values are concatenated.

    Args:
        name: The output's name.
        shape: Shape of a row, None where sizes differ.
        dtype: The stored dtype, "float16" or "float32".
        as_logits: Whether probabilities are stored as logits.
    """

    def __init__(self, name, shape, dtype, as_logits=False):
        self.name, self.shape = name, tuple(shape)
        self._stored_dtype, self._as_logits = dtype, as_logits
        # The dtype in which rows are read.
        self.dtype = "float32" if as_logits else dtype

    def encode(self, rows):
        """Returns arrays by file name, of a list of rows."""
        values = np.concatenate([np.empty(0, "float32"), *(row.reshape(-1) for row in rows)])
        shapes = np.array([row.shape for row in rows], "int32").reshape(-1, len(self.shape))
        return {
            **encode_values(self._values, values, self._stored_dtype, self._as_logits),
            self._shapes: shapes,
            self._ends: np.cumsum(np.prod(shapes, axis=1, dtype="int64")),
        }

    def gather(self, num_rows, parts):
        """Returns a list of rows; arguments as for `FixedColumn`."""
        rows = [np.zeros([n or 0 for n in self.shape], self.dtype)] * num_rows
        for members, shard, places in parts:
            shapes, ends = shard.read(self._shapes), shard.read(self._ends)
            for member, place in zip(members, places):
                start = ends[place] - math.prod(shapes[place])
                values = decode_values(self._values, shard, slice(start, ends[place]))
                rows[member] = values.reshape(shapes[place])
        return rows

    def pad(self, rows):
        """Makes a batch of rows, padded with 0, and a batch of their shapes."""
        shapes = np.array([row.shape for row in rows], "int32").reshape(-1, len(self.shape))
        batch = np.zeros((len(rows), *shapes.max(axis=0, initial=0)), self.dtype)
        for filled, row in zip(batch, rows):
            filled[tuple(map(slice, row.shape))] = row
        return batch, shapes

    def wrong_arrays(self, shard):
        """Names of a shard's index arrays that have impossible values."""
        shapes, ends = shard.read(self._shapes), shard.read(self._ends)
        values = shard.read(_values_name(self._values, shard, self._as_logits))
        fits = [n is None or np.all(sizes == n) for n, sizes in zip(self.shape, shapes.T)]
        if not all(fits) or np.any(shapes < 0):
            return [self._shapes]
        is_end = np.array_equal(ends, np.cumsum(np.prod(shapes, axis=1, dtype="int64")))
        return [] if is_end and len(values) == (ends[-1] if len(ends) else 0) else [self._ends]

    def specs(self, shard, num_rows):
        """Dict from the names of a shard's arrays to their types and shapes."""
        return {
            _values_name(self._values, shard, self._as_logits): (self._stored_dtype, (None,)),
            self._shapes: ("int32", (num_rows, len(self.shape))),
            self._ends: ("int64", (num_rows,)),
        }

    @property
    def _values(self):
        return f"{self.name}.values"

    @property
    def _shapes(self):
        return f"{self.name}.shapes"

    @property
    def _ends(self):
        return f"{self.name}.ends"


def _values_name(name, shard, as_logits):
    return logits_name(name) if as_logits and shard.has(logits_name(name)) else name
