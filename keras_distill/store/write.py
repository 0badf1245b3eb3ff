"""The arrays of one shard: a teacher's outputs for its examples."""

import numpy as np

from keras_distill.store.shards import DROPPED
from keras_distill.store.shards import FINGERPRINTS
from keras_distill.store.teacher_inputs import describe_example
from keras_distill.store.teacher_inputs import fingerprint_rows
from keras_distill.store.teacher_inputs import rows_of


class UnlabelledShard:
    """The examples of a shard, tokenized, so that the teacher can start at once.

    Args:
        x: Nested tensors of the examples, as `Labeller` takes them.
        labeller: The teacher's `Labeller`; None if the shard exists and is only compared.
    """

    def __init__(self, x, labeller=None):
        self.rows = rows_of(x)
        self.fingerprints = fingerprint_rows(self.rows)
        self.batches = None if labeller is None else labeller.batches(x)

    def __len__(self):
        return len(self.fingerprints)


def complete_shard(shard, contents, labeller, plan, *, num_before, drop_nan, on_batch=None):
    """Labels a shard and writes it; an existing shard is compared with the examples.

    A shard has the same arrays, whenever and wherever it is labelled.

    Args:
        shard: The `Shard`.
        contents: Its `UnlabelledShard`.
        labeller: The teacher's `Labeller`.
        plan: The store's `Manifest`.
        num_before: Number of examples in the shards before it, for errors.
        drop_nan: As for `TeacherStore.build`.
        on_batch: As for `Labeller`.

    Raises:
        ValueError: If an output is not finite and drop_nan is False, or an output is too large for
            float16; if the shard exists, but is damaged or belongs to other examples.
    """
    if contents.batches is None:
        _check_unchanged(shard, contents.fingerprints, plan)
        return
    outputs = labeller.label(contents.batches, len(contents), on_batch)
    dropped = _bad_rows(outputs, contents.rows, num_before, drop_nan)
    kept = np.delete(np.arange(len(contents)), dropped)
    arrays = {FINGERPRINTS: contents.fingerprints[kept], DROPPED: dropped}
    for name, column in plan.make_columns().items():
        rows = outputs[name]
        if len(dropped):
            rows = [rows[place] for place in kept]
        arrays.update(column.encode(rows))
    shard.write(arrays)


def _check_unchanged(shard, fingerprints, plan):
    """Raises `ValueError` unless a shard of an earlier run has these examples."""
    shard.check(plan.make_columns().values(), len(fingerprints))
    kept = np.delete(fingerprints, shard.read(DROPPED), axis=0)
    stored = shard.read(FINGERPRINTS)
    if kept.shape != stored.shape or np.any(kept != stored):
        raise ValueError(
            "dataset must yield the examples of the earlier run, in the same order. Received: "
            f"others than those of {shard.path}. Shuffle and augment behind the store, or build "
            "another store, in another folder."
        )


def _bad_rows(outputs, rows, num_before, drop_nan):
    """Places of the examples whose outputs are not finite."""
    is_bad = np.zeros(len(rows[0]), bool)
    for values in outputs.values():
        if isinstance(values, list):
            largest = np.array([np.max(np.abs(row), initial=0.0) for row in values])
        else:
            largest = np.max(np.abs(values).reshape(len(values), -1), axis=1, initial=0.0)
        is_bad |= ~np.isfinite(largest)
    dropped = np.flatnonzero(is_bad)
    if len(dropped) and not drop_nan:
        place = int(dropped[0])
        raise ValueError(
            f"The teacher gives NaN or infinity for {len(dropped)} of {len(is_bad)} examples, the "
            f"first is number {num_before + place}: {describe_example(rows, place)}. Mend the "
            "teacher or the example, or give drop_nan=True to leave such examples out."
        )
    return dropped
