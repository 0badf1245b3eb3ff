"""Builds a store from its plan: in this process, or with any function that labels shards."""

import concurrent.futures

import keras

from keras_distill._files.destination import remove_hidden_folders
from keras_distill._files.run_folder import only_process
from keras_distill.store.plan import is_finished
from keras_distill.store.shards import Shard
from keras_distill.store.write import UnlabelledShard
from keras_distill.store.write import complete_shard


def build_store(path, plan, label_shards, *, drop_nan):
    """Lets the shards of a plan be labelled, and writes the manifest before and after.

    Args:
        path: The store's folder, a `pathlib.Path`.
        plan: The `Manifest`.
        label_shards: Function without arguments that labels the missing shards, in this process
            or in others, and compares the existing ones with the examples.
        drop_nan: As for `TeacherStore.build`.

    Raises:
        ValueError: If another process builds in the folder, or a shard is missing afterwards.
    """
    shards = [Shard(path, index) for index in range(plan.num_shards)]
    if is_finished(path, plan):
        _check_none_dropped(shards, drop_nan)
        # All shards are labelled, but the examples may have changed.
        label_shards()
        # Files that killed workers left are removed, unless the store is read-only.
        remove_hidden_folders(path)
        return
    message = "directory must be the folder of a store that no other process builds just now."
    with only_process(path, message):
        _build(path, plan, shards, label_shards, drop_nan)


def _build(path, plan, shards, label_shards, drop_nan):
    _check_none_dropped([shard for shard in shards if shard.exists()], drop_nan)
    plan.write(path)
    label_shards()
    missing = [shard.path.name for shard in shards if not shard.exists()]
    if missing:
        raise ValueError(
            "directory must be a folder that every worker sees. Received: "
            f"{path}, where {len(missing)} of {len(shards)} shards are missing after all were "
            f"labelled, the first is {missing[0]}. Give a folder of a shared file system."
        )
    # Workers that were killed may have left these.
    remove_hidden_folders(path)
    plan.is_complete = True
    plan.write(path)


def _check_none_dropped(shards, drop_nan):
    num_dropped = 0 if drop_nan else sum(shard.num_dropped() for shard in shards)
    if num_dropped:
        raise ValueError(
            f"The store was begun with drop_nan=True, and {num_dropped} examples were left out. "
            "Received: drop_nan=False. Give drop_nan=True, or build in another folder."
        )


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
