"""Tokenized examples in memory."""

import keras
import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import is_integer
from keras_distill.data.inputs import DistillationInputs
from keras_distill.data.inputs import is_missing
from keras_distill.data.inputs import unpack
from keras_distill.text.vocabularies.base import Vocabulary

_CHUNK = 1024


class Corpus:
    """The examples of a data set, tokenized once for student and teacher.

    Args:
        dataset: An unbatched `tf.data.Dataset`, as for `batch_by_length`.
        student: Function from strings to the student's inputs, or None for the strings.
        teacher: Function from strings to the teacher's inputs, or None.
        bucket_lengths: Increasing lengths to pad to.

    Attributes:
        buckets: int array, `(num_examples,)`: the index in bucket_lengths of the smallest
            length that holds the example's ids for both models.
        num_cut: Dict from "student" and "teacher" to the number of texts that were cut,
            without entries of 0.
    """

    def __init__(self, dataset, student, teacher, bucket_lengths):
        self._is_paired = _check_dataset(dataset) or teacher is not None
        self._functions = {"student": student, "teacher": teacher}
        chunks = dataset.ragged_batch(_CHUNK)
        chunks = chunks.map(self._tokenize, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)
        _, view_specs, self._label_specs = chunks.element_spec
        self._views = {
            name: _View(name, self._functions[name], spec, bucket_lengths)
            for name, spec in view_specs.items()
        }
        if not any(view.has_ids for view in self._views.values()):
            raise ValueError(
                "student or teacher must be a function from strings to ids: texts are batched by "
                f"the number of their ids. Received: student={student!r}, teacher={teacher!r}"
            )
        self._labels = [_Column(-1) for _ in keras.tree.flatten(self._label_specs)]
        self._read(chunks)
        longest = np.max([view.lengths for view in self._views.values() if view.has_ids], axis=0)
        self.buckets = np.searchsorted(bucket_lengths, longest)
        self.num_cut = {name: view.num_cut for name, view in self._views.items() if view.num_cut}

    @tf.autograph.experimental.do_not_convert
    def batch(self, indices):
        """Returns these examples as `x`, `(x, y)` or `(x, y, sample_weight)`.

        Args:
            indices: int64 tensor, `(batch,)`.
        """
        width = tf.reduce_max([v.width(indices) for v in self._views.values() if v.has_ids])
        views = {name: view.batch(indices, width) for name, view in self._views.items()}
        labels = [column.batch(indices, width) for column in self._labels]
        carried, *labels = keras.tree.pack_sequence_as(self._label_specs, labels)
        x = views["student"]
        if self._is_paired:
            x = DistillationInputs(x, views.get("teacher", ()), *carried)
        labels = [label for label in labels if not is_missing(label)]
        return (x, *labels) if labels else x

    @tf.autograph.experimental.do_not_convert
    def _tokenize(self, *data):
        inputs, y, sample_weight = unpack(data if len(data) > 1 else data[0])
        texts = {"student": inputs.student}
        if not is_missing(inputs.teacher):
            texts["teacher"] = inputs.teacher
        elif self._functions["teacher"] is not None:
            texts["teacher"] = inputs.student
        views = {name: _apply(self._functions[name], text) for name, text in texts.items()}
        _, _, *carried = ((() if part is None else part) for part in inputs)
        labels = [() if label is None else label for label in (y, sample_weight)]
        return texts, views, (tuple(carried), *labels)

    def _read(self, chunks):
        for texts, views, labels in chunks:
            for name, view in views.items():
                self._views[name].append(texts[name], keras.tree.flatten(view))
            for column, rows in zip(self._labels, keras.tree.flatten(labels)):
                column.append(*_rows(rows))
        if not self._views["student"].num_examples:
            raise ValueError("examples must hold a text. Received: an empty data set.")
        for part in (*self._views.values(), *self._labels):
            part.freeze()


class _View:
    """The inputs of one of the models for every example."""

    def __init__(self, name, function, specs, bucket_lengths):
        self._name, self._function, self._specs = name, function, specs
        self._bucket_lengths = np.array(bucket_lengths, "int32")
        leaves = keras.tree.flatten_with_path(specs)
        self._kinds = [_kind(path, spec) for path, spec in leaves]
        self._is_transposed = [spec.shape.rank == 3 for _, spec in leaves]
        self._columns = [_Column() for _ in leaves]
        self.has_ids = "ids" in self._kinds
        self.lengths = []
        self.num_examples = 0
        self.num_cut = 0

    def append(self, texts, leaves):
        """Adds a chunk: its texts, and the tensors that the function made from them."""
        num_texts = int(tf.shape(texts)[0])
        self.num_examples += num_texts
        lengths = {
            kind: self._num_used(
                num_texts,
                [x.numpy() for x, its_kind in zip(leaves, self._kinds) if its_kind == kind],
            )
            for kind in {"ids", "word_starts"}.intersection(self._kinds)
        }
        if self.has_ids:
            self.num_cut += self._count_cut(texts, leaves, lengths["ids"])
            lengths["ids"] = np.minimum(lengths["ids"], self._bucket_lengths[-1])
            self.lengths.append(lengths["ids"])
        for column, leaf, kind in zip(self._columns, leaves, self._kinds):
            column.append(*(_rows(leaf) if kind == "text" else _used(leaf.numpy(), lengths[kind])))

    def freeze(self):
        """Ends the adding of chunks and makes tensors."""
        for column in self._columns:
            column.freeze()
        if self.has_ids:
            self.lengths = np.concatenate(self.lengths)
            # A model may not accept more ids than its function gives.
            if longest := _longest(self._function, self._specs):
                longest = max(longest, np.max(self.lengths))
                self._bucket_lengths = np.minimum(self._bucket_lengths, longest).astype("int32")
            self._all_lengths = tf.constant(self.lengths, "int32")

    def width(self, indices):
        """The smallest bucket length that holds the ids of these examples."""
        longest = tf.reduce_max(tf.gather(self._all_lengths, indices), keepdims=True)
        return tf.gather(self._bucket_lengths, tf.searchsorted(self._bucket_lengths, longest))[0]

    def batch(self, indices, widest):
        """The model's inputs for these examples; words are padded to `widest`."""
        width = self.width(indices) if self.has_ids else widest
        leaves = [
            column.batch(indices, width if kind == "ids" else widest)
            for column, kind in zip(self._columns, self._kinds)
        ]
        leaves = [
            tf.transpose(leaf, [0, 2, 1]) if is_transposed else leaf
            for leaf, is_transposed in zip(leaves, self._is_transposed)
        ]
        return keras.tree.pack_sequence_as(self._specs, leaves)

    def _num_used(self, num_texts, arrays):
        """Lengths of the rows of ids, which may be pairs, without the padding of zeros."""
        shapes = {array.shape for array in arrays}
        shape = arrays[0].shape
        if len(shapes) > 1 or len(shape) not in (2, 3) or shape[0] != num_texts:
            raise ValueError(
                f"{self._name} must turn strings into ids of one shape, (batch, length) or "
                f"(batch, 2, length). Received: ids of {sorted(shapes)} from {num_texts} texts."
            )
        is_used = np.any([array != 0 for array in arrays], axis=0)
        is_used = is_used.any(axis=1) if is_used.ndim == 3 else is_used
        return np.max(np.where(is_used, np.arange(1, shape[-1] + 1), 0), axis=1, initial=0)

    def _count_cut(self, texts, leaves, lengths):
        is_long = lengths > self._bucket_lengths[-1]
        if is_long.any():
            if len(leaves) > 1:
                raise ValueError(
                    f"The {self._name}'s inputs have up to {lengths.max()} ids, more than the last "
                    f"of bucket_lengths={self._bucket_lengths.tolist()}, and what belongs together "
                    "is not cut here. Make the function cut at that length, or add a bucket."
                )
            return np.count_nonzero(is_long)
        if "word_starts" in self._kinds:
            num_kept = np.count_nonzero(leaves[self._kinds.index("word_starts")], axis=1)
            return np.count_nonzero(num_kept < texts.row_lengths().numpy())
        # The function is a layer or a layer's method.
        vocabulary = getattr(self._function, "__self__", self._function)
        if isinstance(vocabulary, Vocabulary) and (lengths >= vocabulary.sequence_length).any():
            return vocabulary.num_truncated(texts.numpy()[lengths >= vocabulary.sequence_length])
        return 0


class _Column:
    """A tensor of every example; rows of different lengths are concatenated."""

    def __init__(self, integer_padding=0):
        self._integer_padding = integer_padding
        self._values, self._lengths = [], []

    def append(self, values, lengths):
        self._values.append(values)
        self._lengths.append(lengths)

    def freeze(self):
        self._values = tf.constant(np.concatenate(self._values))
        if self._lengths[0] is not None:
            ends = np.cumsum(np.concatenate(self._lengths))
            self._splits = tf.constant(np.concatenate([[0], ends]), "int64")
        else:
            self._splits = None

    def batch(self, indices, width):
        """The rows of these examples, padded to `width` if their lengths differ."""
        if self._splits is None:
            return tf.gather(self._values, indices)
        dtype, inner_shape = self._values.dtype, self._values.shape[1:]
        rows = tf.RaggedTensor.from_row_splits(self._values, self._splits, validate=False)
        padding = "" if dtype == tf.string else False if dtype == tf.bool else 0
        padding = self._integer_padding if dtype.is_integer else padding
        shape = tf.stack([-1, width, *inner_shape])
        rows = tf.gather(rows, indices).to_tensor(padding, shape=shape)
        rows.set_shape([None, None, *inner_shape])
        return rows


def _kind(path, spec):
    if spec.dtype == tf.string:
        return "text"
    return "word_starts" if path[-1:] == ("word_starts",) else "ids"


def _longest(function, specs):
    """The largest number of ids that a function gives, or None if it is unknown."""
    # The function is a layer or a layer's method; a teacher's layer may wrap a vocabulary.
    function = getattr(function, "__self__", function)
    function = getattr(function, "preprocessor", function)
    if is_integer(length := getattr(function, "sequence_length", None)):
        return length
    sizes = [spec.shape[-1] for spec in keras.tree.flatten(specs) if spec.shape.rank]
    return None if None in sizes else max(sizes, default=None)


def _apply(function, texts):
    """Runs a function on strings, which are padded if they are words of tagged texts."""
    if function is None:
        return texts
    view = function(texts.to_tensor("") if isinstance(texts, tf.RaggedTensor) else texts)
    return keras.tree.map_structure(
        lambda x: x.to_tensor() if isinstance(x, tf.RaggedTensor) else x, view
    )


def _rows(values):
    """Splits a batch into values and row lengths, None if all rows have the same shape."""
    if isinstance(values, tf.RaggedTensor):
        return values.values.numpy(), values.row_lengths().numpy()
    return values.numpy(), None


def _used(ids, lengths):
    """Values and row lengths of the first ids of each row; pairs are concatenated."""
    ids = np.moveaxis(ids, 1, -1) if ids.ndim == 3 else ids
    return ids[np.arange(ids.shape[1]) < lengths[:, None]], lengths


def _check_dataset(dataset):
    """Raises `ValueError` for unsuitable data; returns whether x is DistillationInputs."""
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "examples must be finite. Received: an endless data set. Take a part of it."
        )
    spec = dataset.element_spec
    inputs, _, _ = unpack(spec)
    for text in (inputs.student, inputs.teacher):
        is_text = isinstance(text, tf.TensorSpec) and text.dtype == tf.string
        if not is_missing(text) and not (is_text and text.shape in ((), (2,), (None,))):
            raise ValueError(
                "A text must be a string, a pair of shape (2,) or words of shape (words,), one "
                f"example an element. Received: elements of {spec}. Unbatch a batched data set."
            )
    x = spec if isinstance(spec, DistillationInputs) or not isinstance(spec, tuple) else spec[0]
    return isinstance(x, DistillationInputs)
