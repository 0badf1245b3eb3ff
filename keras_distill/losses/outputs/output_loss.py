"""Base class of losses between two models' outputs, given as logits or as probabilities."""

from keras import ops

from keras_distill.losses.base import DistillationLoss


class OutputLoss(DistillationLoss):
    """A loss between two models' outputs, given as logits or as probabilities.

    `activation` is the function that turns logits into probabilities in this
    loss. The loss can invert it if a model ends in it.
    """

    activation = None
    axes = "(batch, ..., classes)"
    remedy = (
        "Both models must have the same classes in the same order; slice or reorder the "
        "teacher's outputs if they differ."
    )

    default_name = None

    def __init__(
        self,
        *,
        teacher_from_logits=None,
        student_from_logits=None,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        super().__init__(name=name or self.default_name, reduction=reduction, dtype=dtype)
        self.teacher_from_logits = teacher_from_logits
        self.student_from_logits = student_from_logits

    def call(self, y_true, y_pred):
        teacher = self.prepare(y_true, self.teacher_from_logits)
        student = self.prepare(y_pred, self.student_from_logits)
        return ops.cast(self.compare(teacher, student), self.dtype)

    def prepare(self, outputs, from_logits):
        """Turns a model's outputs into the logits that `compare` takes."""
        # None means that nothing was declared and that a Distiller had no doubts about logits.
        return self.logits_of(outputs) if from_logits is False else outputs

    def logits_of(self, probabilities):
        """Logits that give these probabilities."""
        raise ValueError(
            f"{type(self).__name__} needs logits: a softmax or sigmoid output has lost them. "
            "Remove the last activation, or use SoftTargetKL or BinarySoftTargets."
        )

    def compare(self, teacher, student):
        """Unreduced values, `(batch, ...)`, of two tensors of logits."""
        raise NotImplementedError

    def get_config(self):
        return {
            **super().get_config(),
            "teacher_from_logits": self.teacher_from_logits,
            "student_from_logits": self.student_from_logits,
        }
