"""Begins and finishes a store; in between, any function may label the shards."""

from keras_distill._files.destination import remove_hidden_folders
from keras_distill._files.run_folder import only_process
from keras_distill.store.plan import is_finished
from keras_distill.store.shards import Shard


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
            "directory must be a folder that all see who label. Received: "
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
