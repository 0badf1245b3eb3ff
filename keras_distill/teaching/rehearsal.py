"""What would stop a later training, found before the first of several begins."""

import keras
import tensorflow as tf

from keras_distill.schedule_check import num_updates
from keras_distill.schedules import check_schedule


def rehearse(distiller, epochs, x, y, fit):
    """Raises what `distiller.fit` would raise before its first step.

    Args:
        distiller: A compiled `Distiller`, whose optimizer has made no step. Its objectives are
            built; nothing is trained.
        epochs: Number of epochs that it is to train.
        x, y: The data, as of `fit`. Of a generator, whose batches come once, nothing is known.
        fit: Dict of more arguments of `fit`.
    """
    batch, num_batches = _first_batch(x, y, fit)
    num_batches = epochs * (fit.get("steps_per_epoch") or num_batches)
    last = num_updates(distiller.optimizer, num_batches) - 1
    for check in distiller._schedule_checks():
        for setting in check.settings:
            check_schedule(*setting, 0, last)
    if batch is not None:
        distiller._check_ahead(batch)


def _first_batch(x, y, fit):
    """The first batch, and the number of batches; None and 0 where they are not known."""
    if isinstance(x, tf.data.Dataset):
        return next(iter(x), None), max(0, int(x.cardinality()))
    if isinstance(x, keras.utils.PyDataset):
        return x[0], x.num_batches or 0
    if not all(hasattr(part, "shape") for part in keras.tree.flatten(x) if part is not None):
        return None, 0
    size = fit.get("batch_size") or 32
    arrays = x, y, fit.get("sample_weight")
    batch = keras.tree.map_structure(lambda part: None if part is None else part[:size], arrays)
    num_examples = len(keras.tree.flatten(x)[0]) * (1 - (fit.get("validation_split") or 0))
    return batch, -(-int(num_examples) // size)
