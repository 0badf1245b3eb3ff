"""Keras metrics of a student against its teacher."""

import keras
from keras import ops

from keras_distill.losses.outputs.soft_targets import SoftTargetKL

__all__ = ["Fidelity", "TeacherAgreement"]


@keras.saving.register_keras_serializable(package="keras_distill")
class TeacherAgreement(keras.metrics.MeanMetricWrapper):
    """Share of the examples to which student and teacher give the same class.

    With a single logit, the class is its sign. y_true is the teacher's output and y_pred the
    student's, both `(batch, ..., classes)`, logits or probabilities. In a `Distiller`, give it in
    `teacher_metrics`:

    ```python
    metrics = [kd.metrics.TeacherAgreement(), kd.metrics.Fidelity()]
    distiller = kd.Distiller(student=student, teacher=teacher, teacher_metrics=metrics)
    ```

    Args:
        name: Name of the metric.
        dtype: Dtype of the result.

    Example:

    >>> metric = TeacherAgreement()
    >>> metric.update_state([[2.0, 0.0], [0.0, 1.0]], [[0.6, 0.4], [0.7, 0.3]])
    >>> float(metric.result())
    0.5
    """

    def __init__(self, *, name="teacher_agreement", dtype=None):
        super().__init__(_is_same_class, name=name, dtype=dtype)
        self._direction = "up"

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="keras_distill")
class Fidelity(keras.metrics.MeanMetricWrapper):
    """Kullback-Leibler divergence of the student's distribution from the teacher's; 0 if equal.

    ```
    p = softmax(teacher),  q = softmax(student)
    fidelity = mean of sum_classes p * (log p - log q)      in nats
    ```

    It is `losses.SoftTargetKL` at temperature 1, as a metric. y_true is the teacher's
    output and y_pred the student's, both `(batch, ..., classes)`.

    Args:
        teacher_from_logits: False for a teacher that gives probabilities. Defaults to True.
        student_from_logits: The same for the student.
        name: Name of the metric.
        dtype: Dtype of the result.

    Example:

    >>> metric = Fidelity()
    >>> metric.update_state([[2.0, 0.0]], [[0.0, 0.0]])
    >>> round(float(metric.result()), 4)
    0.3278

    Reference: Stanton et al. 2021, https://arxiv.org/abs/2106.05945, section 2.
    """

    def __init__(
        self, *, teacher_from_logits=True, student_from_logits=True, name="fidelity", dtype=None
    ):
        self.teacher_from_logits = teacher_from_logits
        self.student_from_logits = student_from_logits
        loss = SoftTargetKL(
            1.0,
            teacher_from_logits=teacher_from_logits,
            student_from_logits=student_from_logits,
            reduction=None,
        )
        super().__init__(loss, name=name, dtype=dtype)
        self._direction = "down"

    def get_config(self):
        return {
            "teacher_from_logits": self.teacher_from_logits,
            "student_from_logits": self.student_from_logits,
            "name": self.name,
            "dtype": self.dtype,
        }


def _is_same_class(teacher, student):
    teacher, student = ops.convert_to_tensor(teacher), ops.convert_to_tensor(student)
    if student.shape[-1] == 1:
        return ops.equal(teacher[..., 0] > 0, student[..., 0] > 0)
    return ops.equal(ops.argmax(teacher, axis=-1), ops.argmax(student, axis=-1))
