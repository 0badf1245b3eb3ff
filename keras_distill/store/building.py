"""Labels a data set shard by shard, and goes on where an earlier run stopped."""

import concurrent.futures

import filelock
import keras
import numpy as np

from keras_distill.store.labelled_shard import DROPPED
from keras_distill.store.labelled_shard import UnlabelledShard
from keras_distill.store.labelled_shard import label_shard
from keras_distill.store.shards import FINGERPRINTS
from keras_distill.store.shards import Shard


def build_store(path, examples, labeller, plan, *, drop_nan, verbose):
    """Writes the shards of a plan that are not there yet, and the manifest.

    Args:
        path: The store's folder, a `pathlib.Path`.
        examples, labeller: As for `plan_store`.
        plan: The `Manifest`.
        drop_nan, verbose: As for `TeacherStore.build`.
    """
    path.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path / ".lock", blocking=False)
    try:
        with lock:
            _build(path, examples, labeller, plan, drop_nan, verbose)
    except filelock.Timeout:
        raise ValueError(
            "path must be the folder of a store that no other process builds just now. Received: "
            f"{path}. Wait until it is done, or give another folder."
        ) from None


def _build(path, examples, labeller, plan, drop_nan, verbose):
    shards = [Shard(path, index) for index in range(plan.num_shards)]
    _check_none_dropped([shard for shard in shards if shard.exists()], drop_nan)
    if plan.is_complete and all(shard.exists() for shard in shards):
        return
    plan.write(path)
    progress = keras.utils.Progbar(plan.num_examples, unit_name="example", verbose=verbose)
    num_seen = 0
    unlabelled = _unlabelled_shards(path, examples.ragged_batch(plan.examples_per_shard), labeller)
    for shard, contents in _one_ahead(unlabelled):
        if contents.batches is None:
            _check_unchanged(shard, contents.fingerprints)
        else:
            arrays = label_shard(
                contents,
                labeller,
                plan,
                num_before=num_seen,
                drop_nan=drop_nan,
                on_batch=progress.add if verbose else None,
            )
            shard.write(arrays)
        num_seen += len(contents)
        progress.update(num_seen)
    if num_seen != plan.num_examples:
        raise ValueError(
            f"dataset must have the {plan.num_examples} examples that it had when the store in "
            f"{path} was begun. Received: {num_seen}."
        )
    plan.is_complete = True
    plan.write(path)


def _unlabelled_shards(path, chunks, labeller):
    for index, x in enumerate(chunks):
        shard = Shard(path, index)
        yield shard, UnlabelledShard(x, None if shard.exists() else labeller)


def _one_ahead(items):
    """Yields items, each made in a thread while the one before it is used."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = thread.submit(next, items, None)
            yield item


def _check_none_dropped(shards, drop_nan):
    num_dropped = 0 if drop_nan else sum(len(shard.read(DROPPED)) for shard in shards)
    if num_dropped:
        raise ValueError(
            f"The store was begun with drop_nan=True, and {num_dropped} examples were left out. "
            "Received: drop_nan=False. Give drop_nan=True, or build in another folder."
        )


def _check_unchanged(shard, fingerprints):
    """A shard of an earlier run must be of these examples."""
    shard.check()
    kept = np.delete(fingerprints, shard.read(DROPPED), axis=0)
    stored = shard.read(FINGERPRINTS)
    if kept.shape != stored.shape or np.any(kept != stored):
        raise ValueError(
            "dataset must yield the examples of the earlier run, in the same order. Received: "
            f"others than those of {shard.path}. Shuffle and augment behind the store, or build "
            "another store, in another folder."
        )
