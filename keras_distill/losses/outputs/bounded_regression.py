"""Bounded regression: the student learns only while its error is above the teacher's."""

import keras
from keras import ops

from keras_distill._arguments.checks import check_at_least
from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.base import shapes_agree
from keras_distill.losses.base import with_shape_of


@keras.saving.register_keras_serializable(package="keras_distill")
class BoundedRegression(DistillationLoss):
    """The student's squared error, unless it is below the teacher's by a margin.

    ```
    error(z) = mean_values (z - labels)^2
    loss     = error(student)      if error(student) + margin > error(teacher)
               0                   else
    ```

    A regression teacher may point in a direction that is opposite to the true one, so the
    student does not imitate it: it learns from the labels until it is better than the
    teacher. Give this loss to a Distiller as the soft loss of the output with the boxes, next to a
    hard loss such as `keras.losses.Huber()` on the same labels.

    Args:
        margin: How far below the teacher's the student's error must be for a loss of 0, in the
            labels' unit squared, a finite number >= 0. Defaults to 0.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Teacher outputs, `(batch, ..., values)`, such as the boxes `(batch, anchors, 4)`.
        y_pred: Student outputs of the same shape. Their Keras mask is applied.
        sample_weight: Optional weights, `(batch, ...)`: 0 for an anchor without a box.

    The labels have the same shape. The Distiller passes them; elsewhere use
    `loss.for_batch(labels=...)`.

    Raises:
        ValueError: If margin is negative or not finite, there are no labels, or the shapes differ.

    Example:

    >>> import numpy as np
    >>> loss = BoundedRegression().for_batch(labels=np.array([[1.0], [1.0]]))
    >>> student, teacher = np.array([[0.0], [0.5]]), np.array([[0.5], [0.0]])
    >>> float(loss(teacher, student))  # The second is better than the teacher.
    0.5

    Reference: Chen et al. 2017, eq. 5 of
    https://papers.nips.cc/paper/6676-learning-efficient-object-detection-models-with-knowledge-distillation
    Deviations: the paper sums over the four coordinates of a box, this loss takes their mean, so a
    margin is a fourth of the paper's; the smooth L1 loss that the paper adds is the hard loss of
    the Distiller.
    """

    needs = ("labels",)
    axes = "(batch, ..., values)"
    remedy = "Both models must give the same values for the same places, such as anchors."

    def __init__(
        self,
        margin=0.0,
        *,
        reduction="sum_over_batch_size",
        name="bounded_regression",
        dtype=None,
    ):
        margin = check_at_least("margin", margin)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin = margin

    def call(self, y_true, y_pred):
        labels = self._labels_like(y_pred)
        teacher_error, student_error = (
            ops.mean(ops.square(values - labels), axis=-1) for values in (y_true, y_pred)
        )
        is_counted = student_error + self.margin > teacher_error
        return ops.where(is_counted, student_error, ops.zeros_like(student_error))

    def _labels_like(self, student):
        if self.labels is None:
            self.for_batch()  # Raises an error that says what is missing.
        labels = ops.cast(self.labels, student.dtype)
        if not shapes_agree(tuple(labels.shape), tuple(student.shape)):
            raise ValueError(
                "BoundedRegression needs labels of the student's shape. Received: labels "
                f"{tuple(labels.shape)}, student {tuple(student.shape)}. Encode the boxes as the "
                "models' outputs are, one for each anchor."
            )
        return with_shape_of(student, labels)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}
