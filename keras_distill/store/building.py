"""Labels a data set shard by shard, and goes on where an earlier run stopped."""

import dataclasses
import math

import filelock
import keras
import numpy as np
import tensorflow as tf

from keras_distill.output_domain import LOGITS
from keras_distill.output_domain import SOFTMAX
from keras_distill.store.fingerprints import fingerprint_rows
from keras_distill.store.manifest import Manifest
from keras_distill.store.manifest import check_same
from keras_distill.store.manifest import read_manifest
from keras_distill.store.shards import FINGERPRINTS
from keras_distill.store.shards import Shard
from keras_distill.store.views import describe_example
from keras_distill.store.views import example_spec
from keras_distill.store.views import rows_of

_MIN_EXAMPLES_PER_SHARD = 4096
# A file of each is open while the store is read.
_MAX_SHARDS = 256
_BYTES_PER_SHARD = 2**28
# Of a text, or its hidden states, before it is seen.
_TYPICAL_LENGTH = 64
_DROPPED = "dropped"
_NUM_COMPARED = 64
_LARGEST_FLOAT16 = 65504.0


def plan_store(path, examples, labeller, domains, settings, shards):
    """Returns the `Manifest` of a store that is to be built, or built on.

    For a new one the first example is labelled, so that a teacher that cannot read the
    examples says so before anything is written.

    Args:
        path: The store's folder, a `pathlib.Path`.
        examples: A `tf.data.Dataset` of what the teacher reads, one example an element.
        labeller: The teacher's `Labeller`.
        domains: The teacher's `output_domains`.
        settings: Dict of the manifest's teacher, taps, dtype and top_k.
        shards: As for `TeacherStore.build`.
    """
    num_examples = _count(examples)
    spec = example_spec(examples.element_spec)
    settings = {**settings, "example": spec, "num_examples": num_examples}
    if shards is not None:
        settings["examples_per_shard"] = -(-num_examples // shards)
    _check_repeatable(examples)
    stored = read_manifest(path)
    if stored is not None:
        check_same(path, dataclasses.asdict(stored), settings)
        return stored
    first = next(iter(examples.ragged_batch(1)))
    labeller(first)
    outputs = [name for name in labeller.shapes if _is_output(name)]
    domains = dict(zip(outputs, domains or ()))
    columns = {
        name: {"shape": shape, "is_probability": domains.get(name) == SOFTMAX}
        for name, shape in labeller.shapes.items()
    }
    if settings["top_k"] is not None:
        for name in outputs:
            _check_top_k(settings["top_k"], name, labeller.shapes[name], domains.get(name))
    if shards is None:
        shapes = [shape for *_, shape in spec] + list(labeller.shapes.values())
        num_bytes = 4 * sum(math.prod(n or _TYPICAL_LENGTH for n in shape) for shape in shapes)
        num_wanted = max(_MIN_EXAMPLES_PER_SHARD, -(-num_examples // _MAX_SHARDS))
        settings["examples_per_shard"] = max(1, min(num_wanted, _BYTES_PER_SHARD // num_bytes))
    return Manifest(**settings, columns=columns, structure=labeller.structure)


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
    columns = plan.make_columns()
    progress = keras.utils.Progbar(plan.num_examples, unit_name="example", verbose=verbose)
    chunks = examples.ragged_batch(plan.examples_per_shard).prefetch(1)
    num_seen = 0
    for index, x in enumerate(chunks):
        shard, rows = Shard(path, index), rows_of(x)
        fingerprints = fingerprint_rows(rows)
        if shard.exists():
            _check_unchanged(shard, fingerprints)
        else:
            outputs = labeller(x, on_batch=progress.add if verbose else None)
            dropped = _bad_rows(outputs, rows, num_seen, plan, drop_nan)
            kept = np.delete(np.arange(len(fingerprints)), dropped)
            arrays = {FINGERPRINTS: fingerprints[kept], _DROPPED: dropped}
            for name, column in columns.items():
                labelled = outputs[name]
                if len(dropped):
                    labelled = [labelled[place] for place in kept]
                arrays.update(column.encode(labelled))
            shard.write(arrays)
        num_seen += len(fingerprints)
        progress.update(num_seen)
    if num_seen != plan.num_examples:
        raise ValueError(
            f"dataset must have the {plan.num_examples} examples that it had when the store in "
            f"{path} was begun. Received: {num_seen}."
        )
    plan.is_complete = True
    plan.write(path)


def _is_output(name):
    return name == "output" or name.startswith("output[")


def _count(examples):
    cardinality = int(examples.cardinality())
    if cardinality == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "dataset must be finite. Received: an endless data set. Leave out repeat()."
        )
    if cardinality == tf.data.UNKNOWN_CARDINALITY:
        cardinality = int(examples.reduce(np.int64(0), lambda count, _: count + 1))
    if cardinality == 0:
        raise ValueError("dataset must hold an example. Received: an empty data set.")
    return cardinality


def _check_repeatable(examples):
    """Two passes must give the same examples, or the stored outputs would be of others."""
    passes = [
        fingerprint_rows(rows_of(next(iter(examples.ragged_batch(_NUM_COMPARED)))))
        for _ in range(2)
    ]
    if np.any(passes[0] != passes[1]):
        raise ValueError(
            "dataset must yield the same examples each time. Received: one whose first examples "
            "differ from pass to pass, by shuffling or a random augmentation. Shuffle behind the "
            "store; give a random augmentation as keras_distill.store.RandomViews."
        )


def _check_top_k(top_k, name, shape, domain):
    if not shape or None in shape or shape[-1] <= top_k:
        raise ValueError(
            f"top_k must be less than the number of classes of the teacher's {name!r}, whose "
            f"rows have the shape {tuple(shape)}. Received: top_k={top_k}. Leave it out."
        )
    if domain not in (None, LOGITS, SOFTMAX):
        raise ValueError(
            f"top_k is for one class of many, and the teacher's {name!r} ends in an activation "
            f"that is no softmax ({domain}). Received: top_k={top_k}. Leave it out."
        )


def _check_none_dropped(shards, drop_nan):
    num_dropped = 0 if drop_nan else sum(len(shard.read(_DROPPED)) for shard in shards)
    if num_dropped:
        raise ValueError(
            f"The store was begun with drop_nan=True, and {num_dropped} examples were left out. "
            "Received: drop_nan=False. Give drop_nan=True, or build in another folder."
        )


def _check_unchanged(shard, fingerprints):
    """A shard of an earlier run must be of these examples."""
    shard.check()
    kept = np.delete(fingerprints, shard.read(_DROPPED), axis=0)
    stored = shard.read(FINGERPRINTS)
    if kept.shape != stored.shape or np.any(kept != stored):
        raise ValueError(
            "dataset must yield the examples of the earlier run, in the same order. Received: "
            f"others than those of {shard.path}. Shuffle and augment behind the store, or build "
            "another store, in another folder."
        )


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
