"""Finds errors of later trainings before the first of several trainings begins."""

import collections.abc

import keras
import numpy as np
import tensorflow as tf

from keras_distill._arguments.schedules import check_schedule
from keras_distill._keras.optimizer_steps import num_updates
from keras_distill.distillation.fit_arguments import are_arrays
from keras_distill.distillation.fit_arguments import check_fit


def check_comes_again(x, num_trainings, fit):
    """Raises `ValueError` for data that can be read only once, if there are several trainings."""
    is_finite = not fit.get("steps_per_epoch")
    if num_trainings > 1 and isinstance(x, collections.abc.Iterator) and is_finite:
        raise ValueError(
            "x must be data that can be read in each training. Received: a generator, which ends "
            f"with the first of {num_trainings}. Give a tf.data.Dataset or a PyDataset, or "
            "steps_per_epoch for a generator without end."
        )


def rehearse(distiller, x, y, fit):
    """Raises the errors that `distiller.fit` would raise before its first step.

    Args:
        distiller: A compiled `Distiller`, whose optimizer has made no step. Its objectives are
            built; nothing is trained.
        x, y: The data, as in `fit`. A generator is not read, because its batches come only once.
        fit: Dict of more arguments of `fit`, including epochs.
    """
    check_fit(distiller, x, y, **fit)
    batch, num_batches = _first_batch(x, y, fit)
    num_batches = fit["epochs"] * (fit.get("steps_per_epoch") or num_batches)
    last = num_updates(distiller.optimizer, num_batches) - 1
    for check in distiller.schedule_checks():
        for setting in check.settings:
            check_schedule(*setting, 0, last)
    if batch is not None:
        distiller.check_ahead(batch)


def _first_batch(x, y, fit):
    """The first batch and the number of batches; None and 0 if they are not known."""
    if isinstance(x, tf.data.Dataset):
        return next(iter(x), None), max(0, int(x.cardinality()))
    if isinstance(x, keras.utils.PyDataset):
        return x[0], x.num_batches or 0
    if not are_arrays(x):
        return None, 0
    size = fit.get("batch_size") or 32
    arrays = x, y, fit.get("sample_weight")
    batch = keras.tree.map_structure(lambda array: _first(array, size), arrays)
    num_examples = keras.tree.flatten(x)[0].shape[0] * (1 - (fit.get("validation_split") or 0))
    return batch, -(-int(num_examples) // size)


def _first(array, size):
    """The first examples, in the form in which `fit` gives them to the models."""
    if array is None:
        return None
    if isinstance(array, tf.SparseTensor):
        first = tf.sparse.slice(array, [0] * array.shape.rank, [size, *array.shape[1:]])
    else:
        first = array[:size]
    first = first if tf.is_tensor(first) else tf.convert_to_tensor(np.asarray(first))
    return tf.cast(first, keras.config.floatx()) if first.dtype.is_floating else first
