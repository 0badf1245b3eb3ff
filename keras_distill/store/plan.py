"""Checks what a store is built from, and plans its contents, before anything is written."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import check_choice
from keras_distill._arguments.checks import check_function
from keras_distill._arguments.checks import check_integer
from keras_distill._files.destination import check_destination
from keras_distill._keras.determinism import changed_output
from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import SOFTMAX
from keras_distill._keras.output_domain import could_come_from
from keras_distill._keras.output_domain import output_domains
from keras_distill._keras.raw_inputs import check_preprocessed
from keras_distill.store.label import Labeller
from keras_distill.store.label import count_examples
from keras_distill.store.manifest import Manifest
from keras_distill.store.manifest import check_same
from keras_distill.store.manifest import is_output
from keras_distill.store.manifest import read_manifest
from keras_distill.store.precision import check_float16
from keras_distill.store.shards import Shard
from keras_distill.store.stored_class_names import are_of_output
from keras_distill.store.stored_class_names import check_order
from keras_distill.store.stored_class_names import names_of_data
from keras_distill.store.stored_class_names import names_of_teacher
from keras_distill.store.teacher_inputs import example_spec
from keras_distill.store.teacher_inputs import fingerprint_rows
from keras_distill.store.teacher_inputs import rows_of
from keras_distill.store.teacher_inputs import take
from keras_distill.store.teacher_inputs import teacher_view
from keras_distill.store.teacher_inputs import unpack_element
from keras_distill.teachers.identity import identify_teacher

_MIN_EXAMPLES_PER_SHARD = 4096
# Each shard keeps a file open while the store is read.
_MAX_SHARDS = 256
_BYTES_PER_SHARD = 2**28
# Assumed length of a text or its hidden states, before any text is seen.
TYPICAL_LENGTH = 64
_NUM_COMPARED = 64
# Size of a batch that is large enough to show random outputs.
_NUM_TRIED = 32
# Allowed effect of other examples in a batch, as a share of the largest value: quantised teachers
# compute a range for each batch.
_MOST_BY_OTHERS = 0.05
_DTYPES = ("float16", "float32")


def prepare(dataset, teacher, path, *, taps, dtype, top_k, shards, batch_size, version):
    """Checks the arguments of `TeacherStore.build`.

    Args:
        path: The store's folder, a `pathlib.Path`.

    Returns:
        The examples as `read_examples` gives them, the teacher's `Labeller` and the `Manifest`.
    """
    top_k = check_integer("top_k", top_k, optional=True)
    shards = check_integer("shards", shards, optional=True)
    batch_size = check_integer("batch_size", batch_size, optional=True)
    taps, examples = check_labelling(
        dataset,
        teacher,
        path,
        taps=taps,
        dtype=dtype,
    )
    stored = read_manifest(path)
    settings = {
        "teacher": identify_teacher(teacher, version, stored and stored.teacher),
        "taps": list(taps),
        "dtype": dtype,
        "top_k": top_k,
    }
    labeller = Labeller(teacher, taps, batch_size)
    names = names_of_teacher(teacher) or names_of_data(dataset)
    plan = plan_store(path, examples, labeller, output_domains(teacher), settings, shards, names)
    # An existing store has its own class names.
    check_order(f"the store in {path}", plan.class_names, dataset)
    return examples, labeller, plan


def check_labelling(
    dataset,
    teacher,
    path,
    *,
    taps=("output",),
    dtype="float16",
):
    """Raises the errors of a build that need no run of the teacher, which may be untrained.

    Args:
        path: The store's folder, a `pathlib.Path`.

    Returns:
        The taps, a tuple, and the examples as `read_examples` gives them.
    """
    taps = _check_settings(dataset, teacher, taps, dtype)
    if not is_finished(path, read_manifest(path)):
        check_destination("directory", path, "folder")
    if "output" in taps:
        check_order("the teacher", names_of_teacher(teacher), dataset)
    examples = read_examples(dataset)
    _check_examples(examples.element_spec)
    check_preprocessed("teacher", teacher, "dataset", examples.batch(1).element_spec)
    return taps, examples


def read_examples(dataset, start=None, stop=None):
    """Returns a data set of the teacher's inputs, one example per element.

    Args:
        dataset: As for `TeacherStore.build`.
        start, stop: Range of the examples; None means all. From `text.Examples`, or another
            object with slices and `dataset()`, only these are read; from a `tf.data.Dataset`,
            the examples before them are read, too.
    """
    if _is_sliceable(dataset):
        dataset = dataset[start:stop].dataset()
    elif start is not None:
        dataset = dataset.skip(start).take(stop - start)
    return dataset.map(_teacher_part, num_parallel_calls=tf.data.AUTOTUNE)


def _is_sliceable(dataset):
    return hasattr(dataset, "dataset")


@tf.autograph.experimental.do_not_convert
def _teacher_part(*data):
    return teacher_view(unpack_element(data)[0])


def _check_settings(dataset, teacher, taps, dtype):
    """Raises `ValueError` unless all arguments fit; returns the taps as a tuple."""
    if not isinstance(dataset, tf.data.Dataset) and not _is_sliceable(dataset):
        raise ValueError(
            "dataset must be text.Examples or a tf.data.Dataset of single examples. Received: "
            f"dataset of type {type(dataset).__name__}. tf.data.Dataset.from_tensor_slices makes "
            "one of arrays."
        )
    message = "teacher must be a model or a function of a batch of x."
    check_function("teacher", teacher, message)
    taps = (taps,) if isinstance(taps, str) else tuple(taps)
    if not taps or not all(isinstance(tap, str) for tap in taps) or len(set(taps)) < len(taps):
        raise ValueError(f"taps must be different paths, at least one. Received: taps={taps!r}")
    check_choice("dtype", dtype, _DTYPES)
    return taps


def _check_examples(spec):
    for path, dtype, shape in example_spec(spec):
        if dtype != "string" and None in shape:
            raise ValueError(
                "dataset must yield single examples, numbers of one shape or texts. Received: "
                f"{path or 'x'} of shape {shape} and type {dtype}. Take a batched data set apart "
                "with unbatch(); pad what differs in length."
            )
        if dtype == "string" and tuple(shape) not in ((), (2,), (None,)):
            raise ValueError(
                "dataset must yield single examples: a text, a pair of shape (2,), or words of "
                f"shape (words,). Received: {path or 'x'} of shape {shape}. Take a batched data "
                "set apart with unbatch()."
            )


def plan_store(path, examples, labeller, domains, settings, shards, class_names=None):
    """Returns the `Manifest` of a store that will be built or continued.

    For a new store the first examples are labelled, so that a teacher that cannot read the
    examples, or draws random numbers, is refused before anything is written.

    Args:
        path: The store's folder, a `pathlib.Path`.
        examples: A `tf.data.Dataset` of the teacher's inputs, one example per element.
        labeller: The teacher's `Labeller`.
        domains: The teacher's `output_domains`.
        settings: Dict of the manifest's teacher, taps, dtype and top_k.
        shards: As for `TeacherStore.build`.
        class_names: Names of the classes from the teacher or the data; None without names.
    """
    num_examples = _count(examples)
    spec = example_spec(examples.element_spec)
    settings = {**settings, "example": spec, "num_examples": num_examples}
    if shards is not None:
        settings["examples_per_shard"] = -(-num_examples // shards)
    _check_repeatable(examples)
    stored = read_manifest(path)
    # A store without any shard holds no outputs: one of another teacher may replace it.
    if stored is not None and any(Shard(path, n).exists() for n in range(stored.num_shards)):
        check_same(path, dataclasses.asdict(stored), settings)
        return stored
    rows = _label_first(examples, labeller)
    outputs = [name for name in labeller.shapes if is_output(name)]
    domains = dict(zip(outputs, domains or ()))
    if settings["top_k"] is not None:
        for name in outputs:
            domains[name] = domains.get(name) or _domain_of_values(rows[name])
            _check_top_k(settings["top_k"], name, labeller.shapes[name], domains[name])
    columns = {
        name: {"shape": shape, "domain": domains.get(name)}
        for name, shape in labeller.shapes.items()
    }
    if shards is None:
        shapes = [shape for *_, shape in spec] + list(labeller.shapes.values())
        num_bytes = 4 * sum(math.prod(n or TYPICAL_LENGTH for n in shape) for shape in shapes)
        num_wanted = max(_MIN_EXAMPLES_PER_SHARD, -(-num_examples // _MAX_SHARDS))
        settings["examples_per_shard"] = max(1, min(num_wanted, _BYTES_PER_SHARD // num_bytes))
    if class_names is not None and are_of_output(class_names, labeller.shapes.get("output")):
        settings["class_names"] = list(class_names)
    plan = Manifest(**settings, columns=columns, structure=labeller.structure)
    if plan.dtype == "float16":
        check_float16({n: r for n, r in rows.items() if plan.top_k is None or not is_output(n)})
    return plan


def is_finished(path, plan):
    """Whether a store is complete, so that nothing needs to be written.

    Args:
        path: The store's folder, a `pathlib.Path`.
        plan: Its `Manifest`, or None.
    """
    is_whole = plan is not None and plan.is_complete
    return is_whole and all(Shard(path, index).exists() for index in range(plan.num_shards))


def _label_first(examples, labeller):
    """The rows of the first examples, for which the teacher must give the same outputs twice.

    The second time, the examples come with others in the batch and in another order.
    """
    first = next(iter(examples.ragged_batch(_NUM_TRIED)))
    rows, again = labeller(first), labeller(first)
    if changed := changed_output(rows, again):
        name, difference = changed
        raise ValueError(
            "The teacher must give the same outputs for the same examples. Received: its "
            f"{name!r} differs by {difference:.3g} from one run to the next, so it would be stored "
            "with random numbers in it. Remove what draws them at inference, such as a dropout "
            "that is called with training=True."
        )
    half = np.arange(-(-count_examples(first) // 2))[::-1]
    alone = labeller(take(first, half))
    together = {name: [of_name[place] for place in half] for name, of_name in rows.items()}
    if changed := changed_output(together, alone, tolerance=_MOST_BY_OTHERS):
        name, difference = changed
        raise ValueError(
            "The teacher must give an example the same outputs whatever examples are beside it. "
            f"Received: its {name!r} differs by {difference:.3g} between two batches that have the "
            "example, so it would be stored as it is in one of them. Call the teacher with "
            "training=False, by which a BatchNormalization takes no statistics of the batch; give "
            "a mask to layers that read padding."
        )
    return rows


def _domain_of_values(rows):
    """The domain of a function's outputs; top_k treats probabilities and logits differently."""
    if isinstance(rows, list):
        return None
    return next((d for d in (SOFTMAX, SIGMOID) if could_come_from(d, rows)), None)


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


def fingerprint_first(examples):
    """Fingerprints of the first examples, enough to notice changed or shuffled examples."""
    x = next(iter(examples.ragged_batch(_NUM_COMPARED)), None)
    return None if x is None else fingerprint_rows(rows_of(x))


def _check_repeatable(examples):
    """Raises `ValueError` unless two passes give the same examples, as a store needs."""
    passes = [fingerprint_first(examples) for _ in range(2)]
    if np.any(passes[0] != passes[1]):
        raise ValueError(
            "dataset must yield the same examples each time. Received: one whose first examples "
            "differ from pass to pass, by shuffling or a random augmentation. Shuffle behind the "
            "store; give a random augmentation as keras_distill.data.RandomViews."
        )


def _check_top_k(top_k, name, shape, domain):
    if not shape or None in shape or shape[-1] <= top_k:
        raise ValueError(
            f"top_k must be less than the number of classes of the teacher's {name!r}, whose "
            f"rows have the shape {tuple(shape)}. Received: top_k={top_k}. Leave it out."
        )
    if domain not in (None, LOGITS, SOFTMAX):
        raise ValueError(
            f"top_k is for one class of many, and the teacher's {name!r} ends in an activation, or "
            f"has values, of no softmax ({domain}). Received: top_k={top_k}. Leave it out."
        )
