"""Ensembles: several teachers as one."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_distill")
class Ensemble(keras.Model):
    """Mixes the probabilities of several teachers, in log space.

    ```
    output = log sum_i w_i * softmax(logits_i / T_i)
    ```

    The output is a log probability, and so also a logit: softmax gives the mixture
    back. A `temperature` of the soft loss divides these logits, behind the mixing.

    Args:
        teachers: Models or functions from inputs to logits, `(batch, ..., classes)`,
            of the same classes in the same order.
        weights: One number >= 0 per teacher, scaled to a sum of 1. None: all equal.
        temperatures: One positive number per teacher, which softens it before the
            mixing. None: 1 for all.
        preprocessors: One function or None per teacher, from the ensemble's inputs to
            the teacher's, for teachers that read different things. Functions of
            TensorFlow operations; None passes the inputs on.
        name: Name of the model.

    Call arguments:
        inputs: What the teachers, or their preprocessors, take.

    Returns:
        Log probabilities, float32 (float64 if a teacher gives that), of the teachers'
        shape.

    Raises:
        ValueError: If an argument is out of range or of another length than teachers;
            when called, if teachers give different shapes.

    Example:

    >>> import numpy as np
    >>> certain, undecided = (lambda x: x * 100.0), (lambda x: x * 0.0)
    >>> mixture = Ensemble([certain, undecided])(np.array([[1.0, -1.0]]))
    >>> np.round(np.exp(mixture), 3).tolist()
    [[0.75, 0.25]]

    Reference: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, section 5, which
    also names the geometric mean; this is the arithmetic one.
    """

    def __init__(
        self, teachers, weights=None, *, temperatures=None, preprocessors=None, name="ensemble"
    ):
        teachers = list(teachers)
        if not teachers or not all(callable(teacher) for teacher in teachers):
            raise ValueError(
                "teachers must be a list of models or functions, at least one. "
                f"Received: teachers={teachers!r}"
            )
        weights = _numbers("weights", weights, len(teachers), lambda w: w >= 0, ">= 0")
        if sum(weights) == 0:
            raise ValueError("weights must not all be 0.")
        # Teachers cast their own inputs; they may read strings, or several dtypes.
        super().__init__(name=name, autocast=False)
        self.teachers = teachers
        self.mixing_weights = [weight / sum(weights) for weight in weights]
        self.temperatures = _numbers(
            "temperatures", temperatures, len(teachers), lambda t: t > 0, "> 0"
        )
        self.preprocessors = list(preprocessors or [None] * len(teachers))
        if len(self.preprocessors) != len(teachers):
            raise ValueError(
                f"preprocessors must have one entry per teacher, {len(teachers)}. "
                f"Received: {len(self.preprocessors)}"
            )

    def build(self, input_shape):
        self.built = True

    def call(self, inputs, training=False):
        log_probabilities = []
        for index, (teacher, preprocess) in enumerate(zip(self.teachers, self.preprocessors)):
            x = inputs if preprocess is None else preprocess(inputs)
            # A teacher teaches in inference mode, whatever the step around it does.
            is_model = isinstance(teacher, keras.layers.Layer) and teacher._call_has_training_arg
            logits = ops.convert_to_tensor(teacher(x, training=False) if is_model else teacher(x))
            if keras.backend.standardize_dtype(logits.dtype) != "float64":
                logits = ops.cast(logits, "float32")
            if index and logits.shape[1:] != log_probabilities[0].shape[1:]:
                raise ValueError(
                    "All teachers of an ensemble must give logits of one shape. Received: "
                    f"{tuple(log_probabilities[0].shape)} from the first, {tuple(logits.shape)} "
                    f"from teacher {index}."
                )
            log_probabilities.append(ops.log_softmax(logits / self.temperatures[index], axis=-1))
        if len({p.dtype for p in log_probabilities}) > 1:
            log_probabilities = [ops.cast(p, "float64") for p in log_probabilities]
        stacked = ops.stack(log_probabilities, axis=-1)
        weights = ops.convert_to_tensor(self.mixing_weights, dtype=stacked.dtype)
        return ops.logsumexp(stacked + ops.log(weights), axis=-1)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "teachers": [serialize(teacher) for teacher in self.teachers],
            "weights": self.mixing_weights,
            "temperatures": self.temperatures,
            "preprocessors": [serialize(function) for function in self.preprocessors],
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))


def _numbers(name, values, count, is_valid, condition):
    values = [1.0] * count if values is None else list(values)
    numbers = all(isinstance(v, (int, float)) and is_valid(v) and v < float("inf") for v in values)
    if len(values) != count or not numbers:
        raise ValueError(
            f"{name} must be {count} finite numbers {condition}, one per teacher. "
            f"Received: {name}={values!r}"
        )
    return [float(value) for value in values]
