"""Ensembles: several teachers of the same classes combined into one."""

import keras
from keras import ops

from keras_distill._arguments.checks import check_at_least
from keras_distill._arguments.checks import check_numbers
from keras_distill._arguments.checks import check_positive
from keras_distill._keras.several_labels import has_several_labels
from keras_distill.teachers.several import SeveralTeachers


@keras.saving.register_keras_serializable(package="keras_distill")
class Ensemble(SeveralTeachers):
    """Mixes the probabilities of several teachers, in log space.

    ```
    p_i    = softmax(logits_i / T_i)
    output = log sum_i w_i(x) * p_i
    w_i(x) = w_i * exp(-confidence * entropy(p_i)) / sum_j w_j * exp(-confidence * entropy(p_j))
    ```

    With `confidence=0`, the default, the weights are the same for all examples. Above 0,
    teachers that are confident about an example get more weight for it; for outputs `(batch,
    ..., classes)`, for each position. A larger value is closer to the most confident teacher
    alone.

    The output is a log probability, and so also a logit: its softmax is the mixture.
    A `temperature` of the soft loss divides these logits, after the mixing.

    Args:
        teachers: Models or functions from inputs to logits, `(batch, ..., classes)`,
            of the same classes in the same order. If the last layer of a Keras model is a
            softmax, the log of its probabilities is used.
        weights: One number >= 0 per teacher, scaled to a sum of 1. None means equal weights.
        temperatures: One positive number per teacher, which softens its output before the
            mixing. None means 1 for all. An overconfident teacher needs one above 1,
            chosen on held-out labels, before its confidence is meaningful.
        preprocessors: One function or None per teacher, from the ensemble's inputs to
            the teacher's, for teachers with different inputs. The functions must use
            TensorFlow operations; None passes the inputs on.
        confidence: How strongly the entropy of a teacher's output (in nats, from 0 to
            log(classes)) reduces its weight for an example: a finite number >= 0. Defaults
            to 0.
        name: Name of the model.

    Call arguments:
        inputs: Inputs of the teachers or their preprocessors.

    Returns:
        Log probabilities, float32 (float64 if a teacher gives that), of the teachers'
        shape.

    Raises:
        ValueError: If an argument is out of range or its length is not that of teachers;
            when called, if teachers give different shapes.

    Example:

    >>> import numpy as np
    >>> certain, undecided = (lambda x: x * 100.0), (lambda x: x * 0.0)
    >>> mixture = Ensemble([certain, undecided])(np.array([[1.0, -1.0]]))
    >>> np.round(np.exp(mixture), 3).tolist()
    [[0.75, 0.25]]
    >>> mixture = Ensemble([certain, undecided], confidence=10.0)(np.array([[1.0, -1.0]]))
    >>> np.round(np.exp(mixture), 3).tolist()
    [[1.0, 0.0]]

    Reference: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, section 5, which
    also names the geometric mean; this is the arithmetic one. MT-DNN trains a student on the
    mean of teachers' soft targets, Liu et al. 2019, https://arxiv.org/abs/1904.09482.
    CA-MKD weights teachers by their confidence in an example, Zhang et al. 2022,
    https://arxiv.org/abs/2201.00007. Deviation: there the confidence is the cross-entropy with
    the label; here it is the entropy, because a teacher sees only the inputs, and no label is
    needed. The paper's weights are also at most 1 / (teachers - 1); these reach 1.
    """

    _fixed = (*SeveralTeachers._fixed, "mixing_weights", "temperatures", "confidence")

    def __init__(
        self,
        teachers,
        weights=None,
        *,
        temperatures=None,
        preprocessors=None,
        confidence=0.0,
        name="ensemble",
    ):
        super().__init__(teachers, preprocessors, name)
        for place, teacher in enumerate(self.teachers):
            if has_several_labels(teacher):
                raise ValueError(
                    f"teachers[{place}] must give each example one class: an ensemble takes the "
                    "softmax of its logits. Received: a model that was taught by a binary loss, as "
                    "for several classes of an example. Give a Distiller a function that returns "
                    "the mean of the teachers' sigmoids, with "
                    "soft_loss=BinarySoftTargets(teacher_from_logits=False)."
                )
        weights = _one_each("weights", weights, len(self.teachers), check_at_least)
        if sum(weights) == 0:
            raise ValueError("weights must not all be 0.")
        confidence = check_at_least("confidence", confidence)
        self.mixing_weights = tuple(weight / sum(weights) for weight in weights)
        self.temperatures = _one_each(
            "temperatures", temperatures, len(self.teachers), check_positive
        )
        self.confidence = float(confidence)

    def call(self, inputs, training=False):
        logits = self.logits_of_each(inputs)
        for index, of_teacher in enumerate(logits):
            if of_teacher.shape[1:] != logits[0].shape[1:]:
                raise ValueError(
                    "All teachers of an ensemble must give logits of one shape. Received: "
                    f"{tuple(logits[0].shape)} from the first, {tuple(of_teacher.shape)} "
                    f"from teacher {index}."
                )
        log_probabilities = [
            ops.log_softmax(of_teacher / temperature, axis=-1)
            for of_teacher, temperature in zip(logits, self.temperatures)
        ]
        stacked = ops.stack(log_probabilities, axis=-1)
        log_weights = ops.log(ops.convert_to_tensor(self.mixing_weights, dtype=stacked.dtype))
        if self.confidence > 0:
            confidences = -self.confidence * _entropy(stacked)
            log_weights = ops.log_softmax(log_weights + confidences, axis=-1)
        return ops.logsumexp(stacked + log_weights, axis=-1)

    def get_config(self):
        return {
            **super().get_config(),
            "weights": self.mixing_weights,
            "temperatures": self.temperatures,
            "confidence": self.confidence,
        }


def _entropy(log_probabilities):
    """Entropy in nats over the last axis but one, which stays with size 1."""
    p = ops.exp(log_probabilities)
    # A class with a log probability of -inf adds nothing.
    terms = ops.where(p > 0, p * log_probabilities, ops.zeros_like(p))
    return -ops.sum(terms, axis=-2, keepdims=True)


def _one_each(name, values, count, check):
    """A float for each teacher, 1 without values."""
    values = [1.0] * count if values is None else values
    return tuple(map(float, check_numbers(name, values, count, check)))
