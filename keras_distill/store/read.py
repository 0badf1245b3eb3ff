"""Finds stored outputs by fingerprints, and adds them to the elements of a data set."""

import keras
import numpy as np
import tensorflow as tf

from keras_distill.data.inputs import is_missing
from keras_distill.store.shards import FINGERPRINTS
from keras_distill.store.teacher_inputs import describe_example
from keras_distill.store.teacher_inputs import fingerprint_rows
from keras_distill.store.teacher_inputs import rows_of
from keras_distill.store.teacher_inputs import take
from keras_distill.store.teacher_inputs import teacher_view
from keras_distill.store.teacher_inputs import unpack_element


class Lookup:
    """The rows of all shards, by fingerprint.

    It holds 24 bytes for each example in memory; the outputs stay on disk, and the operating
    system caches those that are used often.

    Args:
        shards: List of `Shard`.
    """

    def __init__(self, shards):
        self._shards = shards
        # The fingerprints are copied, because each mapped array keeps a file open.
        by_shard = [np.array(shard.read(FINGERPRINTS)) for shard in shards]
        self._starts = np.cumsum([0, *map(len, by_shard)])
        fingerprints = np.concatenate(by_shard)
        self._order = np.argsort(fingerprints[:, 0], kind="stable")
        self._fingerprints = fingerprints[self._order]

    def __len__(self):
        return len(self._order)

    def find(self, fingerprints):
        """Returns the index of each example, int64 `(examples,)`, -1 for an unknown example."""
        first = self._fingerprints[:, 0]
        places = np.minimum(np.searchsorted(first, fingerprints[:, 0]), len(first) - 1)
        is_found = np.all(self._fingerprints[places] == fingerprints, axis=1)
        return np.where(is_found, self._order[places], -1)

    def locate(self, indices):
        """Returns `(members, shard, places)` for each shard that has some of the examples."""
        numbers = np.searchsorted(self._starts, indices, side="right") - 1
        numbers = np.where(indices < 0, -1, numbers)
        parts = []
        for number in np.unique(numbers[numbers >= 0]):
            members = np.flatnonzero(numbers == number)
            places = indices[members] - self._starts[number]
            parts.append((members, self._shards[number], places))
        return parts


class Reader:
    """Functions for the maps of a `tf.data.Dataset`.

    Args:
        lookup: The store's `Lookup`.
        columns: Dict from the name of an output to its column.
        structure: Names of outputs, nested like the resulting teacher_outputs.
        on_missing: "error", "drop" or "teacher".
        labeller: The `Labeller` for "teacher", or None.
        name: Key for these outputs, next to those of other teachers, or None.
        path: The store's folder, for the error.
    """

    def __init__(self, lookup, columns, structure, on_missing, labeller, name, path):
        self._lookup, self._columns, self._structure = lookup, columns, structure
        self._on_missing, self._labeller = on_missing, labeller
        self._name, self._path = name, path

    def batches(self, dataset):
        """Maps a data set of batches to one with `DistillationInputs`, ragged rows padded."""
        return dataset.map(self._read_batch, num_parallel_calls=tf.data.AUTOTUNE)

    def examples(self, chunks):
        """As `batches`, for single examples that come in a data set of ragged batches."""
        specs = tf.nest.flatten(chunks.element_spec)
        is_ragged = any(isinstance(spec, tf.RaggedTensorSpec) for spec in specs)
        if not is_ragged and not any(map(_is_ragged, self._columns.values())):
            # This avoids a map over single examples, which takes longer than all other steps.
            return self.batches(chunks).unbatch()
        chunks = chunks.map(self._read, num_parallel_calls=tf.data.AUTOTUNE)
        return chunks.unbatch().map(self._trim)

    @tf.autograph.experimental.do_not_convert
    def _read_batch(self, *batch):
        batch, outputs, _ = self._read(*batch)
        return self._add(batch, outputs)

    @tf.autograph.experimental.do_not_convert
    def _read(self, *batch):
        """Returns a batch, the outputs of its examples, and the shapes of their rows."""
        view = teacher_view(unpack_element(batch)[0])
        leaves = tf.nest.flatten(view, expand_composites=True)
        types = [tf.bool]
        for column in self._columns.values():
            types += [column.dtype, tf.int32] if _is_ragged(column) else [column.dtype]

        def read(*leaves):
            return self._look_up(tf.nest.pack_sequence_as(view, leaves, expand_composites=True))

        # The eager tensors of py_function would cost as much as all the work in `read`.
        is_found, *tensors = tf.numpy_function(read, leaves, types, stateful=False)
        is_found.set_shape([None])
        tensors = iter(tensors)
        outputs, shapes = {}, {}
        for name, column in self._columns.items():
            outputs[name] = tf.ensure_shape(next(tensors), [None, *column.shape])
            if _is_ragged(column):
                shapes[name] = tf.ensure_shape(next(tensors), [None, len(column.shape)])
        if self._on_missing == "drop":
            batch, outputs, shapes = tf.nest.map_structure(
                lambda tensor: _keep(tensor, is_found), (batch, outputs, shapes)
            )
        return batch, outputs, shapes

    @tf.autograph.experimental.do_not_convert
    def _trim(self, example, outputs, shapes):
        """Cuts off the padding of an example's rows."""
        for name, shape in shapes.items():
            row = tf.slice(outputs[name], tf.zeros_like(shape), shape)
            outputs[name] = tf.ensure_shape(row, self._columns[name].shape)
        return self._add(example, outputs)

    def _add(self, element, outputs):
        """Returns an element (an example or a batch) with `DistillationInputs`."""
        inputs, *rest = unpack_element(element)
        rows = {name: tf.cast(values, tf.float32) for name, values in outputs.items()}
        teacher_outputs = keras.tree.map_structure(lambda name: rows[name], self._structure)
        if self._name is None:
            x = inputs._replace(teacher=(), teacher_outputs=teacher_outputs)
        else:
            others = {} if is_missing(inputs.teacher_outputs) else inputs.teacher_outputs
            x = inputs._replace(teacher_outputs={**others, self._name: teacher_outputs})
        rest = [part for part in rest if part is not None]
        return (x, *rest) if rest else x

    def _look_up(self, x):
        examples = rows_of(x)
        indices = self._lookup.find(fingerprint_rows(examples))
        is_found = indices >= 0
        missing = np.flatnonzero(~is_found)
        parts = self._lookup.locate(indices)
        if len(missing) and self._on_missing == "error":
            raise ValueError(
                f"The store in {self._path} has no outputs for {len(missing)} of these "
                f"{len(indices)} examples, the first is {describe_example(examples, missing[0])}. "
                "Build the store with them, or give on_missing='teacher' or 'drop' to attach()."
            )
        if len(missing) and self._on_missing == "teacher":
            live = _LiveShard(self._labeller(take(x, missing)), self._columns)
            parts.append((missing, live, np.arange(len(missing))))
        results = [is_found]
        for column in self._columns.values():
            rows = column.gather(len(indices), parts)
            results += column.pad(rows) if _is_ragged(column) else [rows]
        return results


class _LiveShard:
    """The teacher's outputs computed now, in the store's form: rounded, in the same domain."""

    def __init__(self, outputs, columns):
        self._arrays = {}
        for name, column in columns.items():
            self._arrays |= column.encode(outputs[name])

    def has(self, name):
        return name in self._arrays

    def read(self, name):
        return self._arrays[name]


def _is_ragged(column):
    return None in column.shape


def _keep(tensor, is_kept):
    if isinstance(tensor, tf.RaggedTensor):
        return tf.ragged.boolean_mask(tensor, is_kept)
    return tf.boolean_mask(tensor, is_kept)
