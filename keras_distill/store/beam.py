"""A teacher's outputs by many workers at once: a `TeacherStore` that Apache Beam labels."""

import functools
import inspect
import pathlib
import threading

import keras
import tensorflow as tf

from keras_distill._arguments.imports import import_module
from keras_distill.store import TeacherStore
from keras_distill.store.build import build_store
from keras_distill.store.planning import fingerprint_first
from keras_distill.store.preparation import prepare
from keras_distill.store.shard_worker import ShardWorker

# Beam's own default may load a program from the network and start it.
_DEFAULT_RUNNER = "FnApiRunner"


def label(
    make_dataset,
    make_teacher,
    path,
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
    """Builds a `TeacherStore` with Apache Beam, on the workers of any of its runners.

    The store is the one that `TeacherStore.build` makes, byte for byte; either goes on where
    the other was stopped. One element of the pipeline is one shard, so no more workers than
    shards have work. A shard that is tried again, or labelled by two workers, is there once.

    ```python
    def make_dataset():
        return kd.text.read_csv("/shared/reviews.csv")

    def make_teacher():
        return keras.models.load_model("/shared/teacher.keras")

    store = kd.beam.label(
        make_dataset, make_teacher, "/shared/store", shards=64, options=["--runner=FlinkRunner"]
    )
    ```

    The process that calls this makes the data set and the teacher, too, and labels the first
    examples, to plan the store. It then waits until the pipeline has finished. A runner's page
    shows the counter `keras_distill/examples_labelled`.

    Args:
        make_dataset: Function without arguments that returns what `TeacherStore.build` takes
            as dataset, the same examples in the same order wherever it is called. Of
            `text.Examples`, or whatever has slices and `dataset()`, a worker reads its shards;
            of a `tf.data.Dataset` also what lies before them.
        make_teacher: Function without arguments that returns the teacher, the same one
            wherever it is called. It is called once in every process of a worker.
        path: The store's folder, which all workers must see under this name: in a shared file
            system, unless they run on one machine.
        taps, dtype, top_k, shards, batch_size, version, drop_nan: As for `TeacherStore.build`.
        options: Beam's `PipelineOptions`, or a list of flags such as "--runner=SparkRunner".
            Without a runner the shards are labelled in this process, one after the other.

    Returns:
        The `TeacherStore`.

    Raises:
        ImportError: If Apache Beam is missing, with the command that installs it.
        ValueError: If an argument does not fit, cannot be sent to workers, or as for
            `TeacherStore.build`; if a worker does not see the folder, or makes another data
            set or teacher. An error of a worker comes as the runner reports it, some as a
            RuntimeError with the worker's message.
    """
    beam = import_module("apache_beam", extra="beam")
    _check_function("make_dataset", make_dataset, tf.data.Dataset)
    _check_function("make_teacher", make_teacher, keras.layers.Layer)
    options, runner = _read_options(options)
    # Workers may start in other folders.
    path = pathlib.Path(path).absolute()
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
            # Without it a runner may give all shards to the worker that lists them.
            indices | "Spread" >> beam.Reshuffle() | "Label" >> beam.Map(task)

    build_store(path, plan, label_shards, drop_nan=drop_nan)
    return TeacherStore.open(path)


def _plan(dataset, teacher, path, **settings):
    """The manifest, and what tells the first examples; the teacher is freed."""
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
        # Without a list they would be taken from this program's command.
        options = module.PipelineOptions(list(options or ()))
    if not isinstance(options, module.PipelineOptions):
        raise ValueError(
            "options must be Beam's PipelineOptions, or a list of flags such as "
            f"'--runner=FlinkRunner'. Received: options={options!r}"
        )
    return options, options.view_as(module.StandardOptions).runner or _DEFAULT_RUNNER


class _Task:
    """Labels a shard, in whatever process and thread it is called; sent there by pickle.

    Args:
        *args, **kwargs: For the `ShardWorker`.
    """

    def __init__(self, *args, **kwargs):
        self._make_worker = functools.partial(_Worker, *args, **kwargs)
        self._shared = import_module("apache_beam.utils.shared").Shared()

    def __call__(self, index):
        metrics = import_module("apache_beam.metrics")
        counter = metrics.Metrics.counter("keras_distill", "examples_labelled")
        worker = self._shared.acquire(self._make_worker)
        with worker.lock:
            worker.label(index, on_batch=counter.inc)


class _Worker(ShardWorker):
    """Threads of one process share it, and take turns: so one shard at a time is in memory."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.lock = threading.Lock()
