"""Specs of the batches that `fit` gets, and the shapes of what a function makes of one."""

import keras
import numpy as np
import tensorflow as tf

from keras_distill._keras.distribution import element_spec
from keras_distill._keras.distribution import of_one_replica


def batch_spec(iterator, data_batch):
    """The specs of one batch's tensors, with None for missing parts.

    Args:
        iterator: Keras's epoch iterator, or None.
        data_batch: A batch of arrays, if there is no iterator.
    """
    if iterator is None:
        return keras.tree.map_structure(_spec_of, data_batch)
    return keras.tree.map_structure(_tensor_spec, element_spec(iterator))


def shapes_of(function, spec):
    """Shapes of the tensors that a function returns for a batch, without running it.

    Args:
        function: Function from a batch to nested tensors.
        spec: The batch's specs, as `batch_spec` gives them.
    """
    shapes = None

    @tf.function(autograph=False)
    def trace():
        nonlocal shapes
        batch = tf.nest.map_structure(
            lambda s: None if s is None else tf.compat.v1.placeholder(s.dtype, s.shape),
            spec,
            expand_composites=True,  # A ragged or sparse tensor consists of several tensors.
        )
        shapes = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), function(batch))

    trace.get_concrete_function()
    return shapes


def is_dense(spec):
    """Whether a spec has dense tensors of known rank only, as Keras's symbolic ones are."""
    return all(
        leaf is None or (isinstance(leaf, tf.TensorSpec) and leaf.shape.rank is not None)
        for leaf in keras.tree.flatten(spec)
    )


def _spec_of(array):
    """The spec of an array with any number of examples."""
    if array is None:
        return None
    if isinstance(array, (tf.RaggedTensor, tf.SparseTensor)):
        return tf.data.Dataset.from_tensor_slices(array).batch(1).element_spec
    array = np.asarray(array)
    return tf.TensorSpec((None, *array.shape[1:]), array.dtype)


def _tensor_spec(spec):
    # TensorFlow 2.20 has no public name for the spec of None.
    if isinstance(spec, (tf.OptionalSpec, type(tf.type_spec_from_value(None)))):
        return None
    return of_one_replica(spec)
