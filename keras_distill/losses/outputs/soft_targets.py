"""Losses between the outputs of a teacher and of a student (soft targets)."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_distill._arguments.checks import check_boolean
from keras_distill.losses.numerics import soft_target_kl
from keras_distill.losses.outputs.output_loss import OutputLoss
from keras_distill.losses.outputs.temperature import TemperatureLoss


class SoftmaxLoss(TemperatureLoss):
    """A `TemperatureLoss` over classes that exclude each other.

    `standardized` replaces the logits by their standard scores, in float64: each model's
    mean over the classes becomes 0, its standard deviation 1, before the temperature.
    """

    activation = "softmax"

    def __init__(
        self,
        temperature=4.0,
        *,
        teacher_from_logits=None,
        student_from_logits=None,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
        standardized=False,
    ):
        super().__init__(
            temperature,
            teacher_from_logits=teacher_from_logits,
            student_from_logits=student_from_logits,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        self.standardized = check_boolean("standardized", standardized)

    def prepare(self, outputs, from_logits):
        logits = super().prepare(outputs, from_logits)
        return _standard_scores(logits) if self.standardized else logits

    def check_shapes(self, teacher_shape, student_shape):
        super().check_shapes(teacher_shape, student_shape)
        if student_shape[-1] == 1:
            raise ValueError(
                f"{type(self).__name__} compares distributions over at least two classes. "
                f"Received: a student output of shape {student_shape}. Use BinarySoftTargets "
                "for a single logit; a regression output has no soft targets: use an "
                "Objective or soft_loss=keras.losses.MeanSquaredError()."
            )

    def logits_of(self, probabilities):
        return ops.log(_positive(probabilities))

    def get_config(self):
        return {**super().get_config(), "standardized": self.standardized}


@keras.saving.register_keras_serializable(package="keras_distill")
class SoftTargetKL(SoftmaxLoss):
    """Kullback-Leibler divergence of the student's softened distribution from the teacher's.

    ```
    p = softmax(teacher / T),  q = softmax(student / T)
    loss = T^2 * sum_classes p * (log p - log q)
    ```

    The loss is exactly 0 where both distributions are equal, else positive. T^2 keeps the
    size of the gradient, `T * (q - p)`, and so the balance with the hard loss,
    comparable when T changes. Values and gradients are exact to float32 rounding for
    finite logits of any size, and for a student that almost equals its teacher.

    Args:
        temperature: T, a positive float, or a `LearningRateSchedule` of the
            optimizer's step inside a Distiller. Defaults to 4.
        teacher_from_logits: False if the teacher gives probabilities (its last
            layer is a softmax), True if it gives logits. None (default) lets a
            Distiller find out; elsewhere it means logits.
        student_from_logits: The same for the student.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss.
        dtype: Dtype of inputs and value; intermediate results are float64. Defaults to float32.
        standardized: Whether the temperature divides the standard scores of the logits
            instead of the logits: `(z - mean) / standard deviation` over the classes, of
            each model. The student then need not reach the size of the teacher's logits.
            Defaults to False.

    Call arguments:
        y_true: Teacher logits, `(batch, ..., classes)`.
        y_pred: Student logits of the same shape. Their Keras mask is applied.
        sample_weight: Optional weights, `(batch, ...)`.

    Raises:
        ValueError: If the temperature is not positive and finite, `standardized` is not a
            bool, the shapes differ, or there are fewer than two classes.

    Example:

    >>> import numpy as np
    >>> loss = SoftTargetKL(temperature=2.0)
    >>> round(float(loss(np.array([[2.0, 0.0]]), np.array([[0.0, 0.0]]))), 4)
    0.4438

    Reference: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, section 2.
    Deviation: the paper has the cross-entropy with the soft targets; the divergence
    differs by the teacher's entropy, a constant, and has the same gradient.

    Reference of `standardized`: Sun et al. 2024, https://arxiv.org/abs/2403.01427,
    algorithm 1. T is their base temperature (mostly 2) and T^2 stays, as in the
    authors' code, which also multiplies the loss by 9. Deviations: that code takes the
    sample standard deviation plus 1e-7, here it is the paper's, over all classes; logits
    that are all equal, whose deviation is 0, are only centred, and keep a gradient.
    """

    default_name = "soft_target_kl"

    def compare(self, teacher, student):
        return soft_target_kl(teacher, student, self.temperature)


@keras.saving.register_keras_serializable(package="keras_distill")
class BinarySoftTargets(TemperatureLoss):
    """Divergence of sigmoid outputs: multi-label classes, or one logit for two classes.

    ```
    p = sigmoid(teacher / T),  q = sigmoid(student / T)       for each class
    loss = T^2 * mean_classes [ p * log(p / q) + (1 - p) * log((1 - p) / (1 - q)) ]
    ```

    The mean over the classes is as in `keras.losses.BinaryCrossentropy`, so that
    alpha weights two terms of the same scale.

    Args:
        temperature: T, a positive float, or a `LearningRateSchedule` of the
            optimizer's step inside a Distiller. Defaults to 4.
        teacher_from_logits: False for a teacher that gives probabilities (its last
            layer is a sigmoid), True for logits, None to let a Distiller find out
            (elsewhere: logits).
        student_from_logits: The same for the student.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss.
        dtype: Dtype of inputs and value; intermediate results are float64. Defaults to float32.

    Call arguments:
        y_true: Teacher logits, `(batch, ..., classes)`; one class for a single logit.
        y_pred: Student logits of the same shape. Their Keras mask is applied.
        sample_weight: Optional weights, `(batch, ...)`.

    Raises:
        ValueError: If the temperature is not positive and finite, or the shapes differ.

    Example:

    >>> import numpy as np
    >>> loss = BinarySoftTargets(temperature=1.0)
    >>> round(float(loss(np.array([[2.0]]), np.array([[0.0]]))), 4)
    0.3278

    Reference: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, applied to each class
    separately: a logit z is the pair of logits (z, 0), which the temperature divides.
    Deviation: the divergence, as in `SoftTargetKL`.
    """

    activation = "sigmoid"

    default_name = "binary_soft_targets"

    def compare(self, teacher, student):
        divergences = soft_target_kl(_with_zero(teacher), _with_zero(student), self.temperature)
        return ops.mean(divergences, axis=-1)

    def logits_of(self, probabilities):
        # Just below 1, floats are spaced by about epsilon: a value that rounds to 1 may be half
        # of that away.
        complement = ops.maximum(1 - probabilities, np.finfo(self.dtype).eps / 2)
        return ops.log(_positive(probabilities)) - ops.log(complement)


@keras.saving.register_keras_serializable(package="keras_distill")
class LogitsMSE(OutputLoss):
    """Mean squared difference of the logits.

    ```
    loss = mean_classes (teacher - student)^2
    ```

    This is stricter than the soft targets: it also fixes the sum of the logits, which a
    softmax ignores. Probabilities have lost that sum, so both models must give logits.

    Args:
        teacher_from_logits: True if the teacher gives logits. None
            (default) lets a Distiller find out; elsewhere it means logits.
        student_from_logits: The same for the student.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Teacher logits, `(batch, ..., classes)`.
        y_pred: Student logits of the same shape. Their Keras mask is applied.
        sample_weight: Optional weights, `(batch, ...)`.

    Raises:
        ValueError: If the shapes differ, or a model gives probabilities.

    Example:

    >>> import numpy as np
    >>> float(LogitsMSE()(np.array([[1.0, 3.0]]), np.array([[1.0, 1.0]])))
    2.0

    Reference: Tang et al. 2019, https://arxiv.org/abs/1903.12136, eq. 4.
    Deviation: the paper writes the squared norm, the sum over the classes; the mean
    keeps alpha independent of their number.
    """

    default_name = "logits_mse"

    def compare(self, teacher, student):
        return ops.mean(ops.square(teacher - student), axis=-1)


def _standard_scores(logits):
    """Logits of mean 0 and standard deviation 1 over the last axis, in float64."""
    logits = ops.cast(logits, "float64")
    centred = logits - ops.mean(logits, axis=-1, keepdims=True)
    # Equal logits are found by their extremes, because rounding gives them a variance; ops.max
    # refuses an empty batch.
    highest, lowest = (
        extreme(logits, axis=-1, keepdims=True) for extreme in (tf.reduce_max, tf.reduce_min)
    )
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    return centred / ops.sqrt(ops.where(highest == lowest, 1.0, variance))


def _with_zero(logits):
    return ops.stack([logits, ops.zeros_like(logits)], axis=-1)


def _positive(probabilities):
    # A probability that underflowed to 0 keeps a finite log.
    return ops.maximum(probabilities, np.finfo(probabilities.dtype.name).tiny)
