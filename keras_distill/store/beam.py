"""Builds a `TeacherStore` on many workers at once, with Apache Beam."""

import functools
import inspect
import pathlib
import threading

import keras
import numpy as np
import tensorflow as tf

from keras_distill._arguments.imports import import_module
from keras_distill.store.build import build_store
from keras_distill.store.label import Labeller
from keras_distill.store.manifest import differences
from keras_distill.store.manifest import read_manifest
from keras_distill.store.plan import fingerprint_first
from keras_distill.store.plan import prepare
from keras_distill.store.plan import read_examples
from keras_distill.store.shards import Shard
from keras_distill.store.teacher_store import TeacherStore
from keras_distill.store.write import UnlabelledShard
from keras_distill.store.write import complete_shard
from keras_distill.teachers.identity import identify_teacher

# Beam's own default runner may download a program and start it.
_DEFAULT_RUNNER = "FnApiRunner"


def label_with_beam(
    make_dataset,
    make_teacher,
    directory,
    *,
    taps=("output",),
    dtype="float16",
    top_k=None,
    shards=None,
    batch_size=None,
    version=None,
    drop_nan=False,
    options=None,
):
    """Builds a `TeacherStore` with Apache Beam, on the workers of any Beam runner.

    The store is the same as from `TeacherStore.build`, byte for byte; either one resumes where
    the other was stopped. Each element of the pipeline is one shard, so more workers than
    shards have nothing to do. A shard that is retried, or labelled by two workers, is stored once.

    ```python
    def make_dataset():
        return kd.text.read_table("/shared/reviews.csv")

    def make_teacher():
        return keras.models.load_model("/shared/teacher.keras")

    store = kd.store.label_with_beam(
        make_dataset, make_teacher, "/shared/store", shards=64, options=["--runner=FlinkRunner"]
    )
    ```

    The calling process also makes the data set and the teacher, and labels the first
    examples to plan the store. Then it waits until the pipeline has finished. The runner's web
    page shows the counter `keras_distill/examples_labelled`.

    Args:
        make_dataset: Function without arguments that returns the dataset for
            `TeacherStore.build`, with the same examples in the same order on every worker. From
            `text.Examples`, or another object with slices and `dataset()`, a worker reads only its
            shards; from a `tf.data.Dataset` it also reads the examples before them.
        make_teacher: Function without arguments that returns the teacher, the same one on
            every worker. It is called once in every process of a worker.
        directory: The store's folder, which all workers must see under this name: in a shared file
            system, unless they run on one machine.
        taps, dtype, top_k, shards, batch_size, version, drop_nan: As for `TeacherStore.build`.
        options: Beam's `PipelineOptions`, or a list of flags such as "--runner=SparkRunner".
            Without a runner, this process labels the shards one after the other.

    Returns:
        The `TeacherStore`.

    Raises:
        ImportError: If Apache Beam is missing; the message has the command that installs it.
        ValueError: If an argument does not fit or cannot be sent to workers, as for
            `TeacherStore.build`, or if a worker does not see the folder or makes another data
            set or teacher. The runner reports a worker's error, sometimes as a RuntimeError with
            the worker's message.
    """
    beam = import_module("apache_beam", extra="beam")
    _check_function("make_dataset", make_dataset, tf.data.Dataset)
    _check_function("make_teacher", make_teacher, keras.layers.Layer)
    options, runner = _read_options(options)
    # The path must be absolute: workers may start in other folders.
    path = pathlib.Path(directory).absolute()
    plan, first = _plan(
        make_dataset(),
        make_teacher(),
        path,
        taps=taps,
        dtype=dtype,
        top_k=top_k,
        shards=shards,
        batch_size=batch_size,
        version=version,
    )
    task = _Task(path, make_dataset, make_teacher, first, batch_size=batch_size, drop_nan=drop_nan)

    def label_shards():
        with beam.Pipeline(runner, options=options) as pipeline:
            indices = pipeline | "Shards" >> beam.Create(range(plan.num_shards))
            # Without Reshuffle, a runner may give all shards to the worker that lists them.
            indices | "Spread" >> beam.Reshuffle() | "Label" >> beam.Map(task)

    build_store(path, plan, label_shards, drop_nan=drop_nan)
    return TeacherStore.open(path)


def _plan(dataset, teacher, path, **settings):
    """The manifest and the fingerprints of the first examples; the teacher is freed."""
    examples, _, plan = prepare(dataset, teacher, path, **settings)
    return plan, fingerprint_first(examples)


def _check_function(name, function, product):
    try:
        is_function = not isinstance(function, product)
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        is_function = False
    if not is_function:
        raise ValueError(
            f"{name} must be a function without arguments, which every worker calls. Received: "
            f"{function!r}. Write a function that returns it: def {name}(): return ..."
        )
    try:
        import_module("apache_beam.internal.pickler").dumps(function)
    except Exception as error:
        raise ValueError(
            f"{name} must be a function that can be pickled, to send it to the workers. Received: "
            f"{function!r}, which cannot ({error}). Read files and make models within it."
        ) from error


def _read_options(options):
    module = import_module("apache_beam.options.pipeline_options")
    if options is None or isinstance(options, (list, tuple)):
        # Without a list, Beam would parse this program's own command line.
        options = module.PipelineOptions(list(options or ()))
    if not isinstance(options, module.PipelineOptions):
        raise ValueError(
            "options must be Beam's PipelineOptions, or a list of flags such as "
            f"'--runner=FlinkRunner'. Received: options={options!r}"
        )
    return options, options.view_as(module.StandardOptions).runner or _DEFAULT_RUNNER


class _Task:
    """Labels a shard in the process and thread that calls it; it is sent there by pickle.

    Args:
        *args, **kwargs: For the `ShardWorker`.
    """

    def __init__(self, *args, **kwargs):
        self._make_worker = functools.partial(ShardWorker, *args, **kwargs)
        self._shared = import_module("apache_beam.utils.shared").Shared()

    def __call__(self, index):
        metrics = import_module("apache_beam.metrics")
        counter = metrics.Metrics.counter("keras_distill", "examples_labelled")
        worker = self._shared.acquire(self._make_worker)
        with worker.lock:
            worker.label(index, on_batch=counter.inc)


class ShardWorker:
    """A worker's own data set and teacher, which must equal those of the store.

    The threads of a process share it in turn, by its lock: one shard at a time is in memory.

    Args:
        path: The store's folder, a `pathlib.Path`, with its manifest.
        make_dataset, make_teacher: Functions without arguments.
        first: `fingerprint_first` of the store's examples.
        batch_size, drop_nan: As for `TeacherStore.build`.

    Raises:
        ValueError: If there is no manifest, or the data set or the teacher differs.
    """

    def __init__(self, path, make_dataset, make_teacher, first, *, batch_size, drop_nan):
        self.lock = threading.Lock()
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
