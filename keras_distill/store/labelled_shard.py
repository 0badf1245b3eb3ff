"""The arrays of one shard: a teacher's outputs for its examples."""

import numpy as np

from keras_distill.store.fingerprints import fingerprint_rows
from keras_distill.store.shards import FINGERPRINTS
from keras_distill.store.views import describe_example
from keras_distill.store.views import rows_of

DROPPED = "dropped"
_LARGEST_FLOAT16 = 65504.0


class UnlabelledShard:
    """The examples of a shard, tokenized, so that the teacher can start at once.

    Args:
        x: Nested tensors of the examples, as `Labeller` takes them.
        labeller: The teacher's `Labeller`; None if the shard is there and is only compared.
    """

    def __init__(self, x, labeller=None):
        self.rows = rows_of(x)
        self.fingerprints = fingerprint_rows(self.rows)
        self.batches = None if labeller is None else labeller.batches(x)

    def __len__(self):
        return len(self.fingerprints)


def label_shard(shard, labeller, plan, *, num_before=0, drop_nan=False, on_batch=None):
    """Returns a shard's arrays by name, the same ones whenever and wherever it is labelled.

    Args:
        shard: An `UnlabelledShard`.
        labeller: The teacher's `Labeller`.
        plan: The store's `Manifest`.
        num_before: Number of examples in the shards before it, for errors.
        drop_nan: As for `TeacherStore.build`.
        on_batch: As for `Labeller`.

    Raises:
        ValueError: If an output is not finite, and drop_nan is False, or too large for float16.
    """
    outputs = labeller.label(shard.batches, len(shard), on_batch)
    dropped = _bad_rows(outputs, shard.rows, num_before, plan, drop_nan)
    kept = np.delete(np.arange(len(shard)), dropped)
    arrays = {FINGERPRINTS: shard.fingerprints[kept], DROPPED: dropped}
    for name, column in plan.make_columns().items():
        rows = outputs[name]
        if len(dropped):
            rows = [rows[place] for place in kept]
        arrays.update(column.encode(rows))
    return arrays


def _bad_rows(outputs, rows, num_before, plan, drop_nan):
    """Places of the examples whose outputs are not finite."""
    is_bad = np.zeros(len(rows[0]), bool)
    for name, values in outputs.items():
        if isinstance(values, list):
            largest = np.array([np.max(np.abs(row), initial=0.0) for row in values])
        else:
            largest = np.max(np.abs(values).reshape(len(values), -1), axis=1, initial=0.0)
        is_bad |= ~np.isfinite(largest)
        overall = np.max(largest[np.isfinite(largest)], initial=0.0)
        if overall > _LARGEST_FLOAT16 and plan.dtype == "float16":
            raise ValueError(
                f"The teacher's {name!r} has values of {overall:.4g}, and float16 holds "
                f"{_LARGEST_FLOAT16:,.0f} at most. Give dtype='float32'."
            )
    dropped = np.flatnonzero(is_bad)
    if len(dropped) and not drop_nan:
        place = int(dropped[0])
        raise ValueError(
            f"The teacher gives NaN or infinity for {len(dropped)} of {len(is_bad)} examples, the "
            f"first is number {num_before + place}: {describe_example(rows, place)}. Mend the "
            "teacher or the example, or give drop_nan=True to leave such examples out."
        )
    return dropped
