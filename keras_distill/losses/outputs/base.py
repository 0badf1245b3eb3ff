"""Base classes of losses between two models' outputs: domain and temperature."""

import keras
from keras import ops

from keras_distill._arguments.schedules import POSITIVE
from keras_distill._arguments.schedules import check_number
from keras_distill._arguments.schedules import is_schedule
from keras_distill._arguments.schedules import value_at
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


class TemperatureLoss(OutputLoss):
    """An `OutputLoss` that divides both models' logits by a temperature."""

    def __init__(
        self,
        temperature=4.0,
        *,
        teacher_from_logits=None,
        student_from_logits=None,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        temperature = check_number("temperature", temperature, POSITIVE)
        super().__init__(
            teacher_from_logits=teacher_from_logits,
            student_from_logits=student_from_logits,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        self.temperature = temperature

    def for_batch(self, labels=None, example_index=None, training=False, step=None):
        loss = super().for_batch(labels, example_index, training, step)
        if step is None:
            return loss
        return loss.with_settings(temperature=value_at(self.temperature, step))

    def call(self, y_true, y_pred):
        if is_schedule(self.temperature):
            raise ValueError(
                "temperature is a schedule, and only a Distiller knows the step. "
                "Outside one, call loss.for_batch(step=step)(teacher, student)."
            )
        return super().call(y_true, y_pred)

    def get_config(self):
        temperature = self.temperature
        if is_schedule(temperature):
            temperature = keras.saving.serialize_keras_object(temperature)
        return {**super().get_config(), "temperature": temperature}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config["temperature"], dict):
            config["temperature"] = keras.saving.deserialize_keras_object(config["temperature"])
        return cls(**config)
