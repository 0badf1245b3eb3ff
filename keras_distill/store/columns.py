"""How one output of the teacher lies in the shards: a row for each example."""

import math

import numpy as np


class FixedColumn:
    """Rows of one shape: an array `(examples, *shape)`.

    Args:
        name: The output's name, also the file's.
        shape: Shape of a row.
        dtype: What is stored, "float16" or "float32".
    """

    def __init__(self, name, shape, dtype):
        self.name, self.shape, self.dtype = name, tuple(shape), dtype

    def encode(self, rows):
        """Returns arrays by file name, of a list of rows."""
        return {self.name: np.array(rows, self.dtype).reshape(-1, *self.shape)}

    def gather(self, num_rows, parts):
        """Returns a batch of rows, 0 where no part has one.

        Args:
            num_rows: Size of the batch.
            parts: List of `(members, shard, places)`: which rows are in which places of
                which shard.
        """
        batch = np.zeros((num_rows, *self.shape), self.dtype)
        for members, shard, places in parts:
            batch[members] = shard.read(self.name)[places]
        return batch


class RaggedColumn:
    """Rows of shapes that differ, such as hidden states of texts: their values end to end.

    Args:
        name: The output's name.
        shape: Shape of a row, None where sizes differ.
        dtype: What is stored, "float16" or "float32".
    """

    def __init__(self, name, shape, dtype):
        self.name, self.shape, self.dtype = name, tuple(shape), dtype

    def encode(self, rows):
        """Returns arrays by file name, of a list of rows."""
        values = [np.empty(0), *(row.reshape(-1) for row in rows)]
        shapes = np.array([row.shape for row in rows], "int32").reshape(-1, len(self.shape))
        return {
            self._values: np.concatenate(values).astype(self.dtype),
            self._shapes: shapes,
            self._ends: np.cumsum(np.prod(shapes, axis=1, dtype="int64")),
        }

    def gather(self, num_rows, parts):
        """Returns a list of rows; as for `FixedColumn`."""
        rows = [np.zeros([n or 0 for n in self.shape], self.dtype)] * num_rows
        for members, shard, places in parts:
            shapes, values = shard.read(self._shapes), shard.read(self._values)
            ends = shard.read(self._ends)
            for member, place in zip(members, places):
                start = ends[place] - math.prod(shapes[place])
                rows[member] = values[start : ends[place]].reshape(shapes[place])
        return rows

    def pad(self, rows):
        """Makes a batch of rows, padded with 0, and of their shapes."""
        shapes = np.array([row.shape for row in rows], "int32").reshape(-1, len(self.shape))
        batch = np.zeros((len(rows), *shapes.max(axis=0, initial=0)), self.dtype)
        for filled, row in zip(batch, rows):
            filled[tuple(map(slice, row.shape))] = row
        return batch, shapes

    @property
    def _values(self):
        return f"{self.name}.values"

    @property
    def _shapes(self):
        return f"{self.name}.shapes"

    @property
    def _ends(self):
        return f"{self.name}.ends"
