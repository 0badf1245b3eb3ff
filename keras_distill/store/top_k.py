"""The k most likely classes of many, and the probability that is left for all others."""

import numpy as np

# Of float16, whose smallest number is 6e-8: a tail of less counts as nothing.
_LOWEST = -1e4


class TopKColumn:
    """Log probabilities of the k most likely classes, and of all others together.

    Read, the others share their probability evenly: log probabilities of all classes,
    which are logits of the same softmax at temperature 1.

    Args:
        name: The output's name.
        shape: Shape of a row, classes last.
        k: Number of classes that are stored one by one.
        is_probability: Whether the teacher's output went through a softmax.
    """

    def __init__(self, name, shape, k, is_probability):
        self.name, self.shape, self.k, self.is_probability = name, tuple(shape), k, is_probability
        # What is read; float16 is stored.
        self.dtype = "float32"

    def encode(self, rows):
        """Returns arrays by file name, of a list of rows."""
        log_probs = self._log_probabilities(np.array(rows, "float32").reshape(-1, *self.shape))
        order = np.argsort(-log_probs, axis=-1, kind="stable")
        classes, others = order[..., : self.k], order[..., self.k :]
        top = np.take_along_axis(log_probs, classes, axis=-1)
        tail = np.logaddexp.reduce(np.take_along_axis(log_probs, others, axis=-1), axis=-1)
        num_bits = 16 if self.shape[-1] <= 2**16 else 32
        return {
            self._part("classes"): classes.astype(f"uint{num_bits}"),
            self._part("top"): np.maximum(top, _LOWEST).astype("float16"),
            self._part("tail"): np.maximum(tail, _LOWEST).astype("float16"),
        }

    def gather(self, num_rows, parts):
        """Returns a batch of log probabilities; as for `FixedColumn`."""
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

    def _log_probabilities(self, rows):
        if self.is_probability:
            return np.log(np.maximum(rows, np.finfo("float32").tiny))
        return rows - np.logaddexp.reduce(rows, axis=-1, keepdims=True)

    def _part(self, part):
        return f"{self.name}.{part}"
