"""Correlations of two models' probabilities, over the classes and over the examples (DIST)."""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_distill._arguments.checks import check_at_least
from keras_distill._arguments.schedules import in_dtype
from keras_distill._keras.masks import keras_mask
from keras_distill.losses.numerics import log_softmax
from keras_distill.losses.outputs.soft_targets import SoftmaxLoss
from keras_distill.losses.relations.per_example import check_batch_size


@keras.saving.register_keras_serializable(package="keras_distill")
class DIST(SoftmaxLoss):
    """Correlation instead of equality (DIST), for students that cannot match a strong teacher.

    ```
    p = softmax(teacher / T),  q = softmax(student / T)
    inter_i = 1 - correlation over the classes of p_i and q_i             example i
    intra_c = 1 - correlation over the examples of p_c and q_c            class c
    loss_i = T^2 * (inter_weight * inter_i + intra_weight * mean_classes intra_c)
    ```

    The correlations are Pearson's: the probabilities of each example, and of each class,
    must agree only up to a scale and a shift. Every position of an output
    `(batch, ..., classes)` is an example.

    The intra term is one number for the batch and is added to each of its values, so that the
    mean is the paper's loss. It covers the examples of one device. Positions that the
    student's Keras mask leaves out are in no correlation. Sample weights multiply the values;
    a weight of 0 does not remove an example from intra_c.

    Args:
        temperature: T, a positive float, or a `LearningRateSchedule` of the
            optimizer's step inside a Distiller. Defaults to 1.
        inter_weight: Weight of the relation between classes, the paper's beta: a float
            >= 0. Defaults to 1.
        intra_weight: Weight of the relation within a class, the paper's gamma: a float
            >= 0. Defaults to 1.
        teacher_from_logits: False for a teacher that gives probabilities, True for
            logits, None to let a Distiller find out (elsewhere: logits).
        student_from_logits: The same for the student.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss.
        dtype: Dtype of inputs and value; intermediate results are float64. Defaults to float32.
        standardized: Whether the temperature divides the standard scores of the logits,
            as in `SoftTargetKL`. Defaults to False.

    Call arguments:
        y_true: Teacher logits, `(batch, ..., classes)`.
        y_pred: Student logits of the same shape.
        sample_weight: Optional weights, `(batch, ...)`.

    Raises:
        ValueError: If an argument is out of range, the shapes differ, or there are fewer
            than two classes, or fewer than two examples while intra_weight is above 0. In a last
            batch of one, whose size is known only at run time, the intra term is 0.

    Example:

    >>> import numpy as np
    >>> teacher = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])
    >>> float(DIST()(teacher, teacher))
    0.0
    >>> round(float(DIST()(teacher, np.roll(teacher, 1, axis=0))), 4)
    3.0

    Reference: Huang et al. 2022, https://arxiv.org/abs/2205.10536, section 4. T^2 is from
    the authors' code. Deviations: a correlation with probabilities that are all equal is
    0, without a gradient; the authors' code adds 1e-8 to the product of the standard
    deviations, which nearly drops a class that is unlikely in all examples; here such a class has
    the same weight as the others, as in the paper.
    """

    default_name = "dist"
    smallest_batch = 2
    mask = None

    def __init__(
        self,
        temperature=1.0,
        *,
        inter_weight=1.0,
        intra_weight=1.0,
        teacher_from_logits=None,
        student_from_logits=None,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
        standardized=False,
    ):
        inter_weight = check_at_least("inter_weight", inter_weight)
        intra_weight = check_at_least("intra_weight", intra_weight)
        super().__init__(
            temperature,
            teacher_from_logits=teacher_from_logits,
            student_from_logits=student_from_logits,
            reduction=reduction,
            name=name,
            dtype=dtype,
            standardized=standardized,
        )
        self.inter_weight = inter_weight
        self.intra_weight = intra_weight

    def __call__(self, y_true, y_pred, sample_weight=None):
        with_mask = self.with_settings(mask=keras_mask(y_pred))
        return super(DIST, with_mask).__call__(y_true, y_pred, sample_weight)

    def check_shapes(self, teacher_shape, student_shape):
        super().check_shapes(teacher_shape, student_shape)
        if self.intra_weight and None not in student_shape[:-1]:
            check_batch_size(self, math.prod(student_shape[:-1]))

    def compare(self, teacher, student):
        shape = ops.shape(student)[:-1]
        log_p = log_softmax(teacher, self.temperature)
        log_q = log_softmax(student, self.temperature)
        inter = _one_minus_correlation(log_p, log_q, axis=-1)

        rows = [ops.reshape(log, (-1, log.shape[-1])) for log in (log_p, log_q)]
        is_kept = ops.reshape(self._is_kept(shape), (-1, 1))
        intra = ops.mean(_one_minus_correlation(*rows, axis=0, is_kept=is_kept))
        is_alone = ops.sum(ops.cast(is_kept, "int32")) < 2
        intra = ops.where(is_alone, ops.zeros_like(intra), intra)

        squared_temperature = in_dtype(self.temperature, "float64") ** 2
        return squared_temperature * (self.inter_weight * inter + self.intra_weight * intra)

    def _is_kept(self, shape):
        if self.mask is None:
            return ops.ones(shape, dtype="bool")
        mask = ops.cast(self.mask, "bool")
        for _ in range(len(shape) - len(mask.shape)):
            mask = ops.expand_dims(mask, -1)
        return ops.broadcast_to(mask, shape)

    def get_config(self):
        return {
            **super().get_config(),
            "inter_weight": self.inter_weight,
            "intra_weight": self.intra_weight,
        }


def _one_minus_correlation(log_p, log_q, axis, is_kept=None):
    """1 - correlation of two tensors of log probabilities; 1 if one of them is constant.

    `1 - correlation` is half the squared distance of both deviations from the mean, each
    divided by its length. This form is exact when they are almost equal.
    """
    p, has_deviation = _direction(log_p, axis, is_kept)
    q, has_both = _direction(log_q, axis, is_kept)
    distance = ops.sum(ops.square(p - q), axis=axis) / 2
    return ops.where(has_deviation & has_both, distance, ops.ones_like(distance))


def _direction(log_probabilities, axis, is_kept):
    """The deviations from the mean, divided by their length; and whether they are not all 0."""
    if is_kept is None:
        is_kept = ops.ones_like(log_probabilities, dtype="bool")
    lowest = np.finfo("float64").min
    logs = ops.where(is_kept, log_probabilities, lowest)
    # The scale prevents underflow and does not change a correlation. tf.reduce_max is used
    # because ops.max refuses an empty batch.
    scale = ops.stop_gradient(tf.reduce_max(logs, axis=axis, keepdims=True))
    values = ops.where(is_kept, ops.exp(logs - scale), 0.0)
    count = ops.sum(ops.cast(is_kept, "float64"), axis=axis, keepdims=True)
    mean = ops.sum(values, axis=axis, keepdims=True) / ops.maximum(count, 1.0)
    deviations = ops.where(is_kept, values - mean, 0.0)
    squared = ops.sum(ops.square(deviations), axis=axis, keepdims=True)
    # A smaller value is rounding noise between equal values, the largest of which is 1.
    has_any = squared > 1e-28 * count
    deviations = deviations / ops.sqrt(ops.where(has_any, squared, 1.0))
    return deviations, ops.squeeze(has_any, axis=axis)
