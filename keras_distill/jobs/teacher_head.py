"""Chooses the soft loss of a job by the teacher's last layer."""

import keras

from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import OTHER
from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import SOFTMAX
from keras_distill._keras.output_domain import could_come_from
from keras_distill._keras.output_domain import output_domains
from keras_distill.losses import BinarySoftTargets
from keras_distill.losses import SoftTargetKL


def soft_loss_for(model, x, temperature):
    """The soft loss with which a student learns from a stored teacher.

    A store has no layers that show a `Distiller` the domain of the outputs. So the domain is
    declared here, in agreement with the checks that the `Distiller` makes for a teacher.

    Args:
        model: The teacher, a Keras model with one output.
        x: A batch for the teacher, whose outputs decide if the last layer shows no domain.
        temperature: Temperature of the loss.

    Returns:
        `SoftTargetKL` for logits and for softmax probabilities, `BinarySoftTargets` for a
        sigmoid of each class.

    Raises:
        ValueError: If the outputs are none of these, or their domain is unknown.
    """
    domain = (output_domains(model) or [None])[0] or _domain_of_values(model, x)
    if domain == OTHER:
        raise ValueError(
            "teacher must give logits, or end in a softmax or a sigmoid. Received: "
            f"{model.name!r}, whose last activation gives neither. Remove that activation."
        )
    if domain == SIGMOID:
        return BinarySoftTargets(temperature, teacher_from_logits=False)
    return SoftTargetKL(temperature, teacher_from_logits=domain == LOGITS)


def _domain_of_values(model, x):
    values = keras.ops.convert_to_numpy(keras.ops.cast(model(x, training=False), "float32"))
    if could_come_from(SOFTMAX, values):
        return SOFTMAX
    if could_come_from(SIGMOID, values) and values.any():
        raise ValueError(
            "teacher must end in a layer that tells whether it gives logits or probabilities. "
            f"Received: {model.name!r}, with values from {values.min():.3g} to {values.max():.3g}. "
            "End it in a Dense layer for logits, or in Activation('sigmoid')."
        )
    return LOGITS
