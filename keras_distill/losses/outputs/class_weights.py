"""Soft targets with class weights, for imbalanced classes such as a detector's background."""

import keras
import numpy as np
from keras import ops

from keras_distill._arguments.schedules import in_dtype
from keras_distill.losses.numerics import log_softmax
from keras_distill.losses.outputs.soft_targets import SoftmaxLoss


@keras.saving.register_keras_serializable(package="keras_distill")
class ClassWeightedSoftTargets(SoftmaxLoss):
    """Cross-entropy with the soft targets, with a weight for each class.

    ```
    p = softmax(teacher / T),  q = softmax(student / T)
    loss = -T^2 * sum_classes weight * p * log q
    ```

    A detector sees background almost everywhere, and most of its mistakes confuse background and
    objects. If the weights differ, the best student does not equal the teacher: its `q` is
    proportional to `weight * p`, so a larger weight makes it predict the class more often. With
    all weights 1 this is `SoftTargetKL` plus the entropy of the teacher, which has no gradient: the
    loss does not reach 0.

    Args:
        class_weights: The weight of each class, a list of finite numbers >= 0, one of them above
            0, in the order of the logits. The paper has 1.5 for the background and 1 for objects.
        temperature: T, a positive float, or a `LearningRateSchedule` of the
            optimizer's step inside a Distiller. Defaults to 1.
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

    Raises:
        ValueError: If the weights are not such numbers or their number is not that of the classes,
            the temperature is not positive and finite, or the shapes differ.

    Example:

    >>> import numpy as np
    >>> loss = ClassWeightedSoftTargets([1.5, 1.0])
    >>> round(float(loss(np.array([[0.0, 0.0]]), np.array([[0.0, 0.0]]))), 4)
    0.8664

    Reference: Chen et al. 2017, eq. 3 of
    https://papers.nips.cc/paper/6676-learning-efficient-object-detection-models-with-knowledge-distillation
    Deviation: T and T^2; the paper has T = 1.
    """

    default_name = "class_weighted_soft_targets"

    def __init__(
        self,
        class_weights,
        *,
        temperature=1.0,
        teacher_from_logits=None,
        student_from_logits=None,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
        standardized=False,
    ):
        weights = np.asarray(class_weights)
        is_valid = weights.ndim == 1 and weights.dtype.kind in "iuf" and len(weights) > 1
        if not (is_valid and np.all(np.isfinite(weights) & (weights >= 0)) and np.any(weights)):
            raise ValueError(
                "class_weights must be a list of finite numbers >= 0, one for each class and not "
                f"all 0. Received: class_weights={class_weights!r}"
            )
        super().__init__(
            temperature,
            teacher_from_logits=teacher_from_logits,
            student_from_logits=student_from_logits,
            reduction=reduction,
            name=name,
            dtype=dtype,
            standardized=standardized,
        )
        self.class_weights = weights.tolist()

    def check_shapes(self, teacher_shape, student_shape):
        super().check_shapes(teacher_shape, student_shape)
        if student_shape[-1] not in (None, len(self.class_weights)):
            raise ValueError(
                "class_weights must be one for each class of the outputs. Received: "
                f"{len(self.class_weights)} weights for outputs {student_shape}"
            )

    def compare(self, teacher, student):
        log_p, log_q = (log_softmax(logits, self.temperature) for logits in (teacher, student))
        weighted = in_dtype(self.class_weights, "float64") * ops.exp(log_p)
        squared_temperature = in_dtype(self.temperature, "float64") ** 2
        return -squared_temperature * ops.sum(weighted * log_q, axis=-1)

    def get_config(self):
        return {**super().get_config(), "class_weights": self.class_weights}
