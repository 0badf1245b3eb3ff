"""Checks of what a store is built from, made before anything is written."""

import tensorflow as tf

from keras_distill._arguments.checks import check_integers
from keras_distill._files.destination import check_destination
from keras_distill._keras.output_domain import output_domains
from keras_distill._keras.raw_inputs import check_preprocessed
from keras_distill.store.label import Labeller
from keras_distill.store.manifest import read_manifest
from keras_distill.store.plan import is_finished
from keras_distill.store.plan import plan_store
from keras_distill.store.stored_class_names import check_order
from keras_distill.store.stored_class_names import names_of_data
from keras_distill.store.stored_class_names import names_of_teacher
from keras_distill.store.views import example_spec
from keras_distill.store.views import teacher_view
from keras_distill.store.views import unpack_element
from keras_distill.teachers.identity import identify_teacher

_DTYPES = ("float16", "float32")


def prepare(dataset, teacher, path, *, taps, dtype, top_k, shards, batch_size, version):
    """Checks the arguments of `TeacherStore.build`.

    Args:
        path: The store's folder, a `pathlib.Path`.

    Returns:
        The examples as `read_examples` gives them, the teacher's `Labeller` and the `Manifest`.
    """
    taps, examples = check_labelling(
        dataset,
        teacher,
        path,
        taps=taps,
        dtype=dtype,
        top_k=top_k,
        shards=shards,
        batch_size=batch_size,
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
    top_k=None,
    shards=None,
    batch_size=None,
):
    """Raises the errors of a build that need no run of the teacher, which may be untrained.

    Args:
        path: The store's folder, a `pathlib.Path`.

    Returns:
        The taps, a tuple, and the examples as `read_examples` gives them.
    """
    taps = _check_settings(dataset, teacher, taps, dtype, top_k, shards, batch_size)
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


def _check_settings(dataset, teacher, taps, dtype, top_k, shards, batch_size):
    """Raises `ValueError` unless all arguments fit; returns the taps as a tuple."""
    if not isinstance(dataset, tf.data.Dataset) and not _is_sliceable(dataset):
        raise ValueError(
            "dataset must be text.Examples or a tf.data.Dataset of single examples. Received: "
            f"dataset of type {type(dataset).__name__}. tf.data.Dataset.from_tensor_slices makes "
            "one of arrays."
        )
    if not callable(teacher):
        raise ValueError(
            f"teacher must be a model or a function of a batch of x. Received: {teacher!r}"
        )
    taps = (taps,) if isinstance(taps, str) else tuple(taps)
    if not taps or not all(isinstance(tap, str) for tap in taps) or len(set(taps)) < len(taps):
        raise ValueError(f"taps must be different paths, at least one. Received: taps={taps!r}")
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be one of {_DTYPES}. Received: dtype={dtype!r}")
    for name, value in {"top_k": top_k, "shards": shards, "batch_size": batch_size}.items():
        if value is not None:
            check_integers(**{name: value})
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
