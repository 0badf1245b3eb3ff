"""The storage of one output of the teacher in the shards: a row for each example."""

import math

import numpy as np

from keras_distill._keras.output_domain import SOFTMAX
from keras_distill._keras.output_domain import could_come_from
from keras_distill.store.probabilities import decode_values
from keras_distill.store.probabilities import encode_values
from keras_distill.store.probabilities import logits_name

# Lowest stored log probability: float16 can hold it, and its probability is 0 in float32.
_LOWEST = -1e4


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


class TopKColumn:
    """Log probabilities of the k most likely classes, and of all others together.

    When it is read, the others share their probability evenly. This gives log probabilities of
    all classes, which are logits of the same softmax at temperature 1.

    Args:
        name: The output's name.
        shape: Shape of a row, classes last.
        k: Number of classes that are stored one by one.
        is_probability: Whether the teacher's output went through a softmax.
    """

    def __init__(self, name, shape, k, is_probability):
        self.name, self.shape, self.k, self.is_probability = name, tuple(shape), k, is_probability
        # Rows are stored as float16 and read as float32.
        self.dtype = "float32"

    def encode(self, rows):
        """Returns arrays by file name, of a list of rows."""
        rows = np.array(rows, "float32").reshape(-1, *self.shape)
        if not self.is_probability and could_come_from(SOFTMAX, rows):
            raise ValueError(
                f"The teacher's {self.name!r} began with logits, and then looks like probabilities "
                "of a softmax, which top_k would take for logits. Give a teacher that gives the "
                "same for all examples."
            )
        log_probs = self._log_probabilities(rows)
        order = np.argsort(-log_probs, axis=-1, kind="stable")
        classes, others = order[..., : self.k], order[..., self.k :]
        top = np.take_along_axis(log_probs, classes, axis=-1)
        tail = np.logaddexp.reduce(np.take_along_axis(log_probs, others, axis=-1), axis=-1)
        return {
            self._part("classes"): classes.astype(self._class_dtype),
            self._part("top"): np.maximum(top, _LOWEST).astype("float16"),
            self._part("tail"): np.maximum(tail, _LOWEST).astype("float16"),
        }

    def gather(self, num_rows, parts):
        """Returns a batch of log probabilities; arguments as for `FixedColumn`."""
        batch = np.zeros((num_rows, *self.shape), self.dtype)
        for members, shard, places in parts:
            classes, top, tail = (
                shard.read(self._part(part))[places] for part in ("classes", "top", "tail")
            )
            share = tail.astype("float32") - np.log(self.shape[-1] - self.k)
            rows = np.repeat(share[..., None], self.shape[-1], axis=-1)
            np.put_along_axis(rows, classes.astype("int64"), top.astype("float32"), axis=-1)
            batch[members] = rows
        return batch

    def wrong_arrays(self, shard):
        """Names of a shard's index arrays that have impossible values."""
        name = self._part("classes")
        return [name] if np.max(shard.read(name), initial=0) >= self.shape[-1] else []

    def specs(self, shard, num_rows):
        """Dict from the names of a shard's arrays to their types and shapes."""
        shape = num_rows, *self.shape[:-1]
        return {
            self._part("classes"): (self._class_dtype, (*shape, self.k)),
            self._part("top"): ("float16", (*shape, self.k)),
            self._part("tail"): ("float16", shape),
        }

    @property
    def _class_dtype(self):
        return "uint16" if self.shape[-1] <= 2**16 else "uint32"

    def _log_probabilities(self, rows):
        if self.is_probability:
            return np.log(np.maximum(rows, np.finfo("float32").tiny))
        return rows - np.logaddexp.reduce(rows, axis=-1, keepdims=True)

    def _part(self, part):
        return f"{self.name}.{part}"
