"""Base class of losses whose temperature, a number or a schedule, divides the logits."""

import keras

from keras_distill._arguments.schedules import POSITIVE
from keras_distill._arguments.schedules import check_number
from keras_distill._arguments.schedules import is_schedule
from keras_distill._arguments.schedules import value_at
from keras_distill.losses.outputs.output_loss import OutputLoss


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
