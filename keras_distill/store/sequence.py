"""Labels the shards one after the other, in this process."""

import concurrent.futures

import keras

from keras_distill.store.shards import Shard
from keras_distill.store.write import UnlabelledShard
from keras_distill.store.write import complete_shard


def label_in_sequence(path, examples, labeller, plan, *, drop_nan, verbose):
    """Writes the missing shards of a plan.

    Args:
        path: The store's folder, a `pathlib.Path`.
        examples, labeller: As for `plan_store`.
        plan: The `Manifest`.
        drop_nan, verbose: As for `TeacherStore.build`.
    """
    progress = keras.utils.Progbar(plan.num_examples, unit_name="example", verbose=verbose)
    num_seen = 0
    unlabelled = _unlabelled_shards(path, examples.ragged_batch(plan.examples_per_shard), labeller)
    for shard, contents in _one_ahead(unlabelled):
        was_there = shard.exists()
        complete_shard(
            shard,
            contents,
            labeller,
            plan,
            num_before=num_seen,
            drop_nan=drop_nan,
            on_batch=progress.add if verbose else None,
        )
        num_seen += len(contents)
        if was_there:
            progress.add(len(contents))
    if num_seen != plan.num_examples:
        raise ValueError(
            f"dataset must have the {plan.num_examples} examples that it had when the store in "
            f"{path} was begun. Received: {num_seen}."
        )


def _unlabelled_shards(path, chunks, labeller):
    for index, x in enumerate(chunks):
        shard = Shard(path, index)
        yield shard, UnlabelledShard(x, None if shard.exists() else labeller)


def _one_ahead(items):
    """Yields items; a thread makes each item while the previous one is used."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = thread.submit(next, items, None)
            yield item
