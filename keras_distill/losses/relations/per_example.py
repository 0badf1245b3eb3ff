"""Losses with one value for each example, for features of any two shapes."""

import tensorflow as tf
from keras import ops

from keras_distill._keras.masks import keras_mask
from keras_distill._keras.masks import zero_masked
from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.base import shapes_agree


class PerExampleLoss(DistillationLoss):
    """A `DistillationLoss` between features `(batch, ...)` that are one vector for each example.

    Teacher and student may differ in everything but the batch. Positions that the student's
    Keras mask `(batch, positions, ...)` leaves out become zeros. The teacher's own mask applies to
    the teacher; if it has none, as always in a Distiller, the student's mask applies if the number
    of positions is the same. A mask `(batch,)` is a weight of 0 for whole examples.
    """

    same_shapes = False
    values_rank = 1
    smallest_batch = 1

    def __call__(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = without_masked(y_true, y_pred)
        return super().__call__(y_true, y_pred, sample_weight)

    def check_shapes(self, teacher_shape, student_shape):
        check_examples(self, teacher_shape, student_shape)


def check_examples(loss, teacher_shape, student_shape):
    """Raises `ValueError` unless both models have the same number of examples, and enough."""
    sizes = [shape[0] for shape in (teacher_shape, student_shape) if shape]
    known = {size for size in sizes if size is not None}
    if min(len(teacher_shape), len(student_shape)) < 2 or len(known) > 1:
        raise ValueError(
            f"{type(loss).__name__} compares features of the same examples, at least two axes with "
            f"the batch first. Received: teacher {teacher_shape}, student {student_shape}."
        )
    for size in known:
        check_batch_size(loss, size)


def check_batch_size(loss, size):
    """Raises `ValueError` unless a loss between examples has enough of them."""
    # A replica may get an empty batch, whose loss is 0.
    if 0 < size < loss.smallest_batch:
        raise ValueError(
            f"{type(loss).__name__} needs batches of at least {loss.smallest_batch} examples. "
            f"Received: {size}. Raise batch_size, or batch with drop_remainder=True."
        )


def without_masked(teacher, student):
    """Both features with zeros at masked positions; a teacher without mask takes the student's."""
    mask = keras_mask(student)
    theirs = mask if keras_mask(teacher) is None else keras_mask(teacher)
    return _zero_masked(theirs, teacher), _zero_masked(mask, student)


def _zero_masked(mask, features):
    if mask is None or len(mask.shape) < 2:
        return features
    features = ops.convert_to_tensor(features)
    shape = tuple(features.shape)[: len(mask.shape)]
    if not shapes_agree(tuple(mask.shape), shape):
        return features
    if mask is keras_mask(features) or None not in (*mask.shape[1:], *shape[1:]):
        return zero_masked(mask, features)
    # The student's mask may have another length than the teacher, which only the batch shows.
    # It is brought to that length first, because XLA compiles both branches of a condition.
    sizes = tf.shape(features)[: len(mask.shape)]
    is_other = tf.reduce_any(tf.shape(mask) != sizes)
    for axis in range(1, len(mask.shape)):
        mask = tf.gather(
            mask, tf.minimum(tf.range(sizes[axis]), tf.shape(mask)[axis] - 1), axis=axis
        )
    return zero_masked(tf.logical_or(tf.cast(mask, "bool"), is_other), features)
