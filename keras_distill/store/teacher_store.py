"""TeacherStore: runs the teacher once and keeps its outputs on disk for training students."""

import pathlib
import weakref

import numpy as np
import tensorflow as tf

from keras_distill._files.found_at import found_at
from keras_distill.data.inputs import is_missing
from keras_distill.data.inputs import unpack
from keras_distill.store.build import build_store
from keras_distill.store.build import label_in_sequence
from keras_distill.store.label import Labeller
from keras_distill.store.manifest import check_same
from keras_distill.store.manifest import read_manifest
from keras_distill.store.plan import TYPICAL_LENGTH
from keras_distill.store.plan import prepare
from keras_distill.store.read import Lookup
from keras_distill.store.read import Reader
from keras_distill.store.shards import Shard
from keras_distill.store.shards import loader
from keras_distill.store.stored_class_names import check_order
from keras_distill.store.teacher_inputs import example_spec
from keras_distill.store.teacher_inputs import teacher_view
from keras_distill.teachers.identity import identify_teacher

_ON_MISSING = ("error", "teacher", "drop")
_EXAMPLES_PER_READ = 4096
_BYTES_PER_READ = 2**24


class TeacherStore:
    """A teacher's outputs for the examples of a data set, in a folder.

    The teacher takes most of the time of distillation. A TeacherStore runs it once and keeps its
    outputs, for any number of students and epochs:

    ```python
    store = kd.TeacherStore.build(examples, teacher, "store")
    dataset = kd.text.batch_by_length(store.attach(examples), vocabulary)
    soft_loss = kd.losses.SoftTargetKL(teacher_from_logits=True)
    distiller = kd.Distiller(student=student, soft_loss=soft_loss)
    distiller.fit(dataset, epochs=10)
    ```

    A store identifies examples by a fingerprint of the teacher's inputs, 128 bits of XXH3. So
    you may shuffle, filter, repeat and extend the data set, before and after `attach`; an
    example that the store does not have raises an error that names it. Steps that change only
    the student's view, such as its tokenizer, come after `attach`.

    The folder holds a manifest, which identifies the teacher by its weights, configuration and
    vocabulary, and shards of NumPy files with checksums. The folder may be moved.
    """

    def __init__(self, directory, manifest):
        self.directory = directory
        self._manifest = manifest
        self._columns = manifest.make_columns()
        self._load, shards = loader(), []
        for index in range(manifest.num_shards):
            shards.append(Shard(directory, index, self._load))
            shards[-1].check(self._columns.values(), manifest.num_in_shard(index))
        self._lookup = Lookup(shards)
        self._close_behind(self)

    @classmethod
    def build(
        cls,
        dataset,
        teacher,
        directory,
        *,
        taps=("output",),
        dtype="float16",
        top_k=None,
        shards=None,
        batch_size=None,
        version=None,
        drop_nan=False,
        verbose=1,
    ):
        """Runs a teacher over a data set and stores its outputs.

        If it is interrupted, even by `kill -9`, make the same call again: it resumes with the
        first missing shard, and the files are the same as from one run. If the store of
        this teacher and data set is already finished, it is opened.

        For a `text_classifier`, texts are batched with others of similar length within a
        shard. The memory in use does not grow with the data set.

        Args:
            dataset: `text.Examples`, or a finite `tf.data.Dataset` of single examples: `x`,
                `(x, y)` or `(x, y, sample_weight)`, always in the same order. The teacher reads
                its own part of `DistillationInputs`.
            teacher: A `keras.Model` or another callable, from a batch of x to logits,
                probabilities or features. It runs in inference mode.
            directory: The store's folder.
            taps: Outputs to keep: "output", and paths of hidden activations as in
                `Objective`. Defaults to the output alone.
            dtype: Dtype of the stored outputs, "float16" or "float32".
            top_k: Keep the k most likely classes of "output" and the probability of all
                others together; they are read as log probabilities, which are logits. None
                keeps all.
            shards: Number of files to spread the examples over; an interrupted run loses at
                most one. None chooses a number.
            batch_size: Examples that the teacher reads at once. None means 32; for texts, as
                many as have 2,048 tokens together.
            version: For a teacher without weights: any string; change it when the teacher
                changes.
            drop_nan: Whether to leave out examples for which the teacher gives NaN or
                infinity. Defaults to False: an error names the first such example.
            verbose: 1 shows a progress bar, 0 nothing. Defaults to 1.

        Returns:
            The `TeacherStore`.

        Raises:
            ValueError: If an argument does not fit, the data's classes have other names or
                another order than the teacher's, the folder holds a store of another teacher
                or data set, another process builds in it, or the teacher gives NaN.
            OSError: If the disk is full or cannot be written. Finished shards stay.
        """
        directory = pathlib.Path(directory)
        examples, labeller, plan = prepare(
            dataset,
            teacher,
            directory,
            taps=taps,
            dtype=dtype,
            top_k=top_k,
            shards=shards,
            batch_size=batch_size,
            version=version,
        )

        def label_shards():
            label_in_sequence(
                directory, examples, labeller, plan, drop_nan=drop_nan, verbose=verbose
            )

        build_store(directory, plan, label_shards, drop_nan=drop_nan)
        return cls.open(directory)

    @classmethod
    def open(cls, directory, teacher=None, version=None):
        """Opens a finished store, and checks every file of it.

        Args:
            directory: The store's folder.
            teacher: The teacher that the store must belong to. None skips this check.
            version: As for `build`.

        Raises:
            ValueError: If there is no finished store, a file is missing, cut off or
                corrupt, its format is newer than this package, or it belongs to another
                teacher: one with other weights, configuration or vocabulary.
        """
        directory = pathlib.Path(directory)
        manifest = read_manifest(directory)
        if manifest is None or not manifest.is_complete:
            found = "holds a store that is not finished"
            if manifest is None:
                found = "holds nothing of one" if directory.is_dir() else found_at(directory)
            raise ValueError(
                "directory must be the folder of a finished TeacherStore. Received: "
                f"{directory}, which {found}. Run TeacherStore.build, which goes on where it was."
            )
        if teacher is not None:
            identity = identify_teacher(teacher, version, manifest.teacher)
            check_same(directory, {"teacher": manifest.teacher}, {"teacher": identity})
        return cls(directory, manifest)

    def __len__(self):
        return len(self._lookup)

    @property
    def output_domain(self):
        """Domain of the teacher's output as the store gives it: "logits", "softmax", "sigmoid",
        "other", or None if the teacher's last layer did not show it, or there are several outputs.
        """
        return self._manifest.domain("output")

    @property
    def class_names(self):
        """Names of the classes of the teacher's output, as a tuple in their order. They come from
        the teacher (`layers.ClassNames`), or else from the labelled data. None if neither has
        names. `attach` refuses data whose names are in another order.
        """
        names = self._manifest.class_names
        return None if names is None else tuple(names)

    def attach(self, dataset, on_missing="error", teacher=None, name=None):
        """Adds the stored outputs to the examples of a data set.

        Args:
            dataset: `text.Examples`, or a `tf.data.Dataset` of `x`, `(x, y)` or `(x, y,
                sample_weight)`, batched or not; x, or the teacher's part of
                `DistillationInputs`, must be as when the store was built.
            on_missing: For examples that the store does not have: "error", "drop" them,
                or run the "teacher".
            teacher: For "teacher": the teacher of the store.
            name: To attach the stores of several teachers one after the other: the key of
                this store's outputs in teacher_outputs. None: they are the only ones.

        Returns:
            A data set of `(DistillationInputs, ...)`, with y and weights unchanged. Its
            teacher_outputs are the teacher's output, or a dict by path if other taps are
            stored; float32. Rows of different lengths are padded in batches.

        Raises:
            ValueError: If the examples have another structure, dtype or shape than those of the
                store, their classes have other names or another order than `class_names`, or
                the teacher is another. A missing example raises TensorFlow's
                `InvalidArgumentError`, which names it, while the data is read.
        """
        check_order(f"the store in {self.directory}", self.class_names, dataset)
        dataset = dataset.dataset() if hasattr(dataset, "dataset") else dataset
        if on_missing not in _ON_MISSING or (on_missing == "teacher") != (teacher is not None):
            raise ValueError(
                f"on_missing must be one of {_ON_MISSING}, with the teacher for 'teacher' alone. "
                f"Received: {on_missing=}, {teacher=}"
            )
        is_batched = self._is_batched(dataset, name)
        structure = _as_tuples(self._manifest.structure)
        reader = Reader(
            self._lookup,
            self._columns,
            structure["output"] if list(structure) == ["output"] else structure,
            on_missing,
            self._live(teacher),
            name,
            self.directory,
        )
        if is_batched:
            return self._close_behind(reader.batches(dataset))
        cardinality = dataset.cardinality()
        examples = reader.examples(dataset.ragged_batch(self._examples_per_read()))
        if on_missing != "drop" and cardinality >= 0:
            examples = examples.apply(tf.data.experimental.assert_cardinality(cardinality))
        return self._close_behind(examples)

    def _close_behind(self, user):
        """Closes the files when a data set that uses them is gone; another one reopens them.

        TensorFlow never frees a function that a data set has called, nor the objects in it.
        """
        weakref.finalize(user, self._load.cache_clear).atexit = False
        return user

    def _live(self, teacher):
        if teacher is None:
            return None
        stored = self._manifest.teacher
        identity = identify_teacher(teacher, stored["version"], stored)
        check_same(self.directory, {"teacher": stored}, {"teacher": identity})
        return Labeller(teacher, self._manifest.taps)

    def _is_batched(self, dataset, name):
        """Whether the elements are batches of stored examples, not single ones."""
        inputs, _, _ = unpack(dataset.element_spec)
        others = inputs.teacher_outputs
        is_free = is_missing(others) or (isinstance(others, dict) and name not in (None, *others))
        if not is_free:
            raise ValueError(
                "dataset has outputs of a teacher already. Give name, another for each store that "
                f"is attached. Received: {name=} beside {others}"
            )
        found, stored = example_spec(teacher_view(inputs)), self._manifest.example
        without_batch = [[path, dtype, shape[1:]] for path, dtype, shape in found]
        if found != stored and without_batch != stored:
            raise ValueError(
                "dataset must yield what the store's examples are made of, one or a batch of them. "
                f"Received: {found}; stored: {stored}, as [path, dtype, shape]. Attach the store "
                "to what the teacher reads, before the student's tokenizer, scaling or padding."
            )
        return found != stored

    def _examples_per_read(self):
        columns = self._manifest.columns.values()
        num_values = sum(
            np.prod([n or TYPICAL_LENGTH for n in column["shape"]]) for column in columns
        )
        return int(max(1, min(_EXAMPLES_PER_READ, _BYTES_PER_READ // (4 * num_values))))


def _as_tuples(structure):
    """The structure with tuples in place of lists, which tf.data would turn into tensors."""
    if isinstance(structure, dict):
        return {key: _as_tuples(part) for key, part in structure.items()}
    return tuple(map(_as_tuples, structure)) if isinstance(structure, list) else structure
