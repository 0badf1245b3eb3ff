"""The k most likely of many classes, and the remaining probability of all others."""

import numpy as np

from keras_distill._keras.output_domain import SOFTMAX
from keras_distill._keras.output_domain import could_come_from

# Lowest stored log probability: float16 can hold it, and its probability is 0 in float32.
_LOWEST = -1e4


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
