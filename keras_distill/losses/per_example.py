"""Losses with one value for each example, whatever the shapes of the two models' features."""

from keras import ops

from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.base import shapes_agree
from keras_distill.masks import keras_mask
from keras_distill.masks import zero_masked


class PerExampleLoss(DistillationLoss):
    """A `DistillationLoss` between features `(batch, ...)` that are one vector for each example.

    Teacher and student may differ in everything but the batch. Positions that the student's
    Keras mask `(batch, positions, ...)` leaves out are zeros in both; a mask `(batch,)` is a
    weight of 0 for whole examples.
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
    """Raises `ValueError` unless both have the same examples, and enough of them."""
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
    # A replica may get an empty batch, which counts 0.
    if 0 < size < loss.smallest_batch:
        raise ValueError(
            f"{type(loss).__name__} needs batches of at least {loss.smallest_batch} examples. "
            f"Received: {size}. Raise batch_size, or batch with drop_remainder=True."
        )


def without_masked(teacher, student):
    """Both features with zeros where the student's mask leaves out positions that they have."""
    mask = keras_mask(student)
    if mask is None or len(mask.shape) < 2:
        return teacher, student
    return [
        zero_masked(mask, features)
        if shapes_agree(tuple(mask.shape), tuple(features.shape)[: len(mask.shape)])
        else features
        for features in map(ops.convert_to_tensor, (teacher, student))
    ]
