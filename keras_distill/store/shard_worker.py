"""Labels shards of a store together with other processes."""

import numpy as np
import tensorflow as tf

from keras_distill.store.label import Labeller
from keras_distill.store.manifest import differences
from keras_distill.store.manifest import read_manifest
from keras_distill.store.plan import fingerprint_first
from keras_distill.store.preparation import read_examples
from keras_distill.store.shards import Shard
from keras_distill.store.write import UnlabelledShard
from keras_distill.store.write import complete_shard
from keras_distill.teachers.identity import identify_teacher


class ShardWorker:
    """A worker's own data set and teacher, which must equal those of the store.

    Args:
        path: The store's folder, a `pathlib.Path`, with its manifest.
        make_dataset, make_teacher: Functions without arguments.
        first: `fingerprint_first` of the store's examples.
        batch_size, drop_nan: As for `TeacherStore.build`.

    Raises:
        ValueError: If there is no manifest, or the data set or the teacher differs.
    """

    def __init__(self, path, make_dataset, make_teacher, first, *, batch_size, drop_nan):
        self._path, self._drop_nan = path, drop_nan
        self._plan = read_manifest(path)
        if self._plan is None:
            raise ValueError(
                "directory must be a folder that all workers see, of a shared file system. "
                f"Received: {path}, where a worker finds no store."
            )
        self._dataset = make_dataset()
        self._check_dataset(first)
        teacher = make_teacher()
        self._check_teacher(teacher)
        self._labeller = Labeller(teacher, self._plan.taps, batch_size)

    def label(self, index, on_batch=None):
        """Labels a shard and writes it, or compares it if it exists.

        Args:
            index: The shard's number.
            on_batch: As for `Labeller`.
        """
        start = index * self._plan.examples_per_shard
        stop = min(start + self._plan.examples_per_shard, self._plan.num_examples)
        shard = Shard(self._path, index)
        for x in read_examples(self._dataset, start, stop).ragged_batch(stop - start):
            contents = UnlabelledShard(x, None if shard.exists() else self._labeller)
            if len(contents) == stop - start:
                complete_shard(
                    shard,
                    contents,
                    self._labeller,
                    self._plan,
                    num_before=start,
                    drop_nan=self._drop_nan,
                    on_batch=on_batch,
                )
                return
        raise _other_dataset(f"fewer than {stop} of {self._plan.num_examples} examples")

    def _check_dataset(self, first):
        wanted = self._plan.num_examples
        examples = read_examples(self._dataset)
        num_examples = int(examples.cardinality())
        if num_examples not in (tf.data.UNKNOWN_CARDINALITY, wanted):
            raise _other_dataset(f"{num_examples} examples instead of {wanted}")
        if not np.array_equal(fingerprint_first(examples), first):
            raise _other_dataset("others at the beginning")

    def _check_teacher(self, teacher):
        stored = self._plan.teacher
        identity = identify_teacher(teacher, stored["version"], stored)
        for name, was, value in differences({"teacher": stored}, {"teacher": identity}):
            raise ValueError(
                "make_teacher must make the same teacher wherever it is called. Received: on a "
                f"worker one with another {name}, {value!r}; the store's: {was!r}. Load it from a "
                "file that all workers see."
            )


def _other_dataset(found):
    return ValueError(
        "make_dataset must make the same examples, in the same order, wherever it is called. "
        f"Received: on a worker {found}. Sort what a folder or a set lists; shuffle and augment "
        "behind the store."
    )
