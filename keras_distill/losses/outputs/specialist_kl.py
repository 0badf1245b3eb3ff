"""A loss for several teachers that know different classes."""

import keras
from keras import ops

from keras_distill._arguments.checks import is_integer
from keras_distill.losses.base import shapes_agree
from keras_distill.losses.base import with_shape_of
from keras_distill.losses.numerics import soft_target_kl
from keras_distill.losses.outputs.temperature import TemperatureLoss


@keras.saving.register_keras_serializable(package="keras_distill")
class SpecialistKL(TemperatureLoss):
    """Divergence of the student from several teachers, each on its own classes.

    ```
    p_i = softmax(teacher_i / T),  q_i = softmax(student[classes_i] / T)
    loss = T^2 * mean_i sum_classes_i p_i * (log p_i - log q_i)
    ```

    A teacher's probabilities are conditional: they assume that the example has one of its
    classes, and say nothing about other classes. So only the student's logits of the
    teacher's classes are compared, as a separate distribution. Classes that several teachers
    share put their logits on one scale; between groups that share no class, only the
    labels (alpha above 0) can tell which is more likely.

    Args:
        classes: For each teacher, a list of the student's classes that the teacher knows, in the
            order of its outputs: integers >= 0, at least two, none twice.
        temperature: T, a positive float, or a `LearningRateSchedule` of the
            optimizer's step inside a Distiller. Defaults to 4.
        teacher_from_logits: True if the teachers give logits. None (default) lets a
            Distiller find out; elsewhere it means logits.
        student_from_logits: The same for the student.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss.
        dtype: Dtype of inputs and value; intermediate results are float64. Defaults to float32.

    Call arguments:
        y_true: The teachers' logits, concatenated as `teachers.Specialists` returns them,
            `(batch, ..., sum of len(classes_i))`.
        y_pred: Student logits, `(batch, ..., classes)`. Their Keras mask is applied.
        sample_weight: Optional weights, `(batch, ...)`.

    Raises:
        ValueError: If classes are not such lists or the student lacks one of them, the shapes
            do not fit, the temperature is not positive, or a model gives probabilities.

    Example:

    >>> import numpy as np
    >>> loss = SpecialistKL([[0, 1], [1, 2]], temperature=1.0)
    >>> teachers = np.array([[2.0, 0.0, 5.0, 5.0]])
    >>> round(float(loss(teachers, np.array([[2.0, 0.0, 0.0]]))), 6)
    0.0

    Reference: Vongkulbhisal et al. 2019, https://arxiv.org/abs/1904.06062. Deviations: the
    student's own logits are fitted to the teachers; the paper first estimates soft labels of all
    classes from the teachers. This loss takes the mean over the teachers and the divergence, the
    paper the sum and the cross-entropy; the gradients are equal up to the number of teachers.
    """

    same_shapes = False
    default_name = "specialist_kl"

    def __init__(
        self,
        classes,
        *,
        temperature=4.0,
        teacher_from_logits=None,
        student_from_logits=None,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        super().__init__(
            temperature,
            teacher_from_logits=teacher_from_logits,
            student_from_logits=student_from_logits,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        self.classes = _checked(classes)

    def check_shapes(self, teacher_shape, student_shape):
        width = sum(map(len, self.classes))
        fits = (
            len(student_shape) >= 2
            and shapes_agree(teacher_shape, (*student_shape[:-1], width))
            and student_shape[-1] is not None
            and student_shape[-1] > max(map(max, self.classes))
        )
        if not fits:
            raise ValueError(
                f"SpecialistKL with these classes compares teachers (batch, ..., {width}), one "
                "beside the other as teachers.Specialists gives them, and a student (batch, ..., "
                f"classes) that has class {max(map(max, self.classes))}. "
                f"Received: teacher {teacher_shape}, student {student_shape}."
            )

    def compare(self, teacher, student):
        if None in teacher.shape:
            teacher = with_shape_of(student, teacher, width=teacher.shape[-1])
        values, start = [], 0
        for classes in self.classes:
            of_teacher = teacher[..., start : start + len(classes)]
            of_student = ops.take(student, classes, axis=-1)
            values.append(soft_target_kl(of_teacher, of_student, self.temperature))
            start += len(classes)
        return ops.mean(ops.stack(values), axis=0)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


def _checked(classes):
    if not isinstance(classes, (list, tuple)) or not classes or not all(map(_are, classes)):
        raise ValueError(
            "classes must be a list of the student's classes for each teacher: at least two "
            f"different integers >= 0. Received: classes={classes!r}"
        )
    return [[int(c) for c in of_teacher] for of_teacher in classes]


def _are(values):
    """Whether these are valid classes of one teacher."""
    return (
        isinstance(values, (list, tuple, range))
        and len(values) >= 2
        and all(is_integer(value) and value >= 0 for value in values)
        and len(set(values)) == len(values)
    )
