"""Decoupled knowledge distillation (DKD): soft targets of the label's and the other classes."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_distill._arguments.checks import check_at_least
from keras_distill._arguments.schedules import in_dtype
from keras_distill.losses.base import shapes_agree
from keras_distill.losses.numerics import soft_target_kl
from keras_distill.losses.outputs.soft_targets import SoftmaxLoss


@keras.saving.register_keras_serializable(package="keras_distill")
class DKD(SoftmaxLoss):
    """Decoupled knowledge distillation (DKD): separate weights for target and other classes.

    ```
    p = softmax(teacher / T),  q = softmax(student / T),  y the label
    TCKD = KL([p_y, 1 - p_y] || [q_y, 1 - q_y])               the label's class against the others
    NCKD = KL(p_i / (1 - p_y) || q_i / (1 - q_y)), i != y     among the others
    loss = T^2 * (target_weight * TCKD + nontarget_weight * NCKD)
    ```

    `SoftTargetKL` is `TCKD + (1 - p_y) * NCKD`: if the teacher is sure of the label, that loss
    almost ignores what the teacher knows about the other classes. Values and gradients are exact
    to float32 rounding for finite logits of any size. With two classes NCKD is 0.

    Args:
        temperature: T, a positive float, or a `LearningRateSchedule` of the
            optimizer's step inside a Distiller. Defaults to 4.
        target_weight: Weight of TCKD, the paper's alpha: a float >= 0. Defaults to 1.
        nontarget_weight: Weight of NCKD, the paper's beta: a float >= 0. Defaults to 8;
            the paper chooses it for each pair of models.
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
        y_pred: Student logits of the same shape. Their Keras mask is applied.
        sample_weight: Optional weights, `(batch, ...)`.

    The labels come from the batch: a Distiller passes the y of its output; elsewhere, call
    `loss.for_batch(labels=y)(teacher, student)`. They are classes, `(batch, ...)` or
    `(batch, ..., 1)`, or one-hot vectors or probabilities, `(batch, ..., classes)`, whose
    largest entry is the class. A negative class, or a vector of zeros, means no label: the loss of
    this entry is 0.

    Raises:
        ValueError: If an argument is out of range, the shapes differ, there are fewer than two
            classes, labels are missing or of another shape, or a label is beyond the classes. In a
            compiled step, where labels have no values yet, the loss of such a label is 0.

    Example:

    >>> import numpy as np
    >>> loss = DKD(temperature=1.0).for_batch(labels=np.array([0]))
    >>> round(float(loss(np.array([[2.0, 1.0, 0.0]]), np.array([[2.0, 0.0, 0.0]]))), 4)
    0.9271

    Reference: Zhao et al. 2022, https://arxiv.org/abs/2203.08679, eq. 7. Deviation: the
    authors' code raises the weight of the loss from 0 over the first epochs; for this, give the
    Distiller a schedule as alpha.
    """

    default_name = "dkd"
    needs = ("labels",)

    def __init__(
        self,
        temperature=4.0,
        *,
        target_weight=1.0,
        nontarget_weight=8.0,
        teacher_from_logits=None,
        student_from_logits=None,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
        standardized=False,
    ):
        target_weight = check_at_least("target_weight", target_weight)
        nontarget_weight = check_at_least("nontarget_weight", nontarget_weight)
        super().__init__(
            temperature,
            teacher_from_logits=teacher_from_logits,
            student_from_logits=student_from_logits,
            reduction=reduction,
            name=name,
            dtype=dtype,
            standardized=standardized,
        )
        self.target_weight = target_weight
        self.nontarget_weight = nontarget_weight

    def compare(self, teacher, student):
        labels = self._classes(tuple(student.shape))
        teacher, student = ops.cast(teacher, "float64"), ops.cast(student, "float64")
        sides = [_decouple(logits, labels, self.temperature) for logits in (teacher, student)]
        target, nontarget = (soft_target_kl(*pair, self.temperature) for pair in zip(*sides))
        values = self.target_weight * target + self.nontarget_weight * nontarget
        num_classes = student.shape[-1]
        return ops.where((labels >= 0) & (labels < num_classes), values, ops.zeros_like(values))

    def _classes(self, shape):
        """The labels as classes, int32, of the shape of the values."""
        if self.labels is None:
            raise ValueError(
                "DKD needs the labels: a Distiller gives it the data's y. Outside of one, call "
                "loss.for_batch(labels=y)(teacher, student). Received: labels=None"
            )
        labels = ops.convert_to_tensor(self.labels)
        labels_shape = tuple(labels.shape)
        if shapes_agree(labels_shape, shape):
            labels = ops.cast(labels, "int32") if labels.dtype == "bool" else labels
            classes = ops.cast(ops.argmax(labels, axis=-1), "int32")
            classes = ops.where(ops.any(labels != 0, axis=-1), classes, -1)
            if labels_shape[-1] is not None:
                return classes
            # Only the batch shows whether labels are classes (batch, ..., 1) or one-hot.
            is_sparse = ops.shape(labels)[-1] == 1
            return ops.where(is_sparse, ops.cast(labels[..., 0], "int32"), classes)
        if shapes_agree(labels_shape, (*shape[:-1], 1)):
            labels, labels_shape = ops.squeeze(labels, axis=-1), shape[:-1]
        if not shapes_agree(labels_shape, shape[:-1]):
            raise ValueError(
                f"DKD needs labels of shape {shape[:-1]} for classes, or {shape} for one-hot "
                f"vectors. Received: labels of shape {tuple(labels.shape)}"
            )
        labels = ops.cast(labels, "int32")
        if tf.executing_eagerly() and np.any(labels >= shape[-1]):
            raise ValueError(
                f"The student has {shape[-1]} classes, so labels go from 0 to {shape[-1] - 1}. "
                f"Received: {np.max(labels)}"
            )
        return labels

    def get_config(self):
        return {
            **super().get_config(),
            "target_weight": self.target_weight,
            "nontarget_weight": self.nontarget_weight,
        }


def _decouple(logits, labels, temperature):
    """Logits of the label's class against all others, `(..., 2)`, and logits of the others."""
    labels = ops.expand_dims(labels, -1)
    classes = ops.arange(logits.shape[-1], dtype="int32")
    target = ops.sum(ops.where(classes == labels, logits, ops.zeros_like(logits)), axis=-1)
    # The i-th other class is class i before the label, and class i + 1 after it.
    others = ops.where(classes[:-1] < labels, logits[..., :-1], logits[..., 1:])
    temperature = in_dtype(temperature, logits.dtype)
    sum_of_others = temperature * ops.logsumexp(others / temperature, axis=-1)
    return ops.stack([target, sum_of_others], axis=-1), others
