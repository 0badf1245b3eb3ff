"""Base class of models with several teachers."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from keras.utils import is_keras_tensor

from keras_distill._arguments import fixed_settings
from keras_distill._keras.layers import takes_training
from keras_distill._keras.output_domain import OTHER
from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import SOFTMAX
from keras_distill._keras.output_domain import could_come_from
from keras_distill._keras.output_domain import output_domains


class SeveralTeachers(keras.Model):
    """A model that runs several teachers, each on its own view of the inputs.

    Args:
        teachers: Models or functions.
        preprocessors: One function or None per teacher, from the inputs to the teacher's;
            None instead of a list means that no teacher has one.
        name: Name of the model.
    """

    _fixed = ("teachers", "preprocessors")

    def __init__(self, teachers, preprocessors, name):
        teachers = list(teachers)
        if not teachers or not all(callable(teacher) for teacher in teachers):
            raise ValueError(
                "teachers must be a list of models or functions, at least one. "
                f"Received: teachers={teachers!r}"
            )
        # Teachers cast their own inputs; they may read strings, or several dtypes.
        super().__init__(name=name, autocast=False)
        self.teachers = teachers
        self.preprocessors = list(preprocessors or [None] * len(teachers))
        if len(self.preprocessors) != len(teachers):
            raise ValueError(
                f"preprocessors must have one entry per teacher, {len(teachers)}. "
                f"Received: {len(self.preprocessors)}"
            )

    def __setattr__(self, name, value):
        if name in self._fixed and hasattr(self, name):
            remedy = "Make a new one with it, and set it as the teacher."
            fixed_settings.refuse(self, name, value, remedy)
        super().__setattr__(name, value)

    def build(self, input_shape):
        self.built = True

    def outputs_of_each(self, inputs):
        """A list of each teacher's outputs in inference mode."""
        outputs = []
        for teacher, preprocess in zip(self.teachers, self.preprocessors):
            x = inputs if preprocess is None else preprocess(inputs)
            # Teachers always run in inference mode, even inside a training step.
            takes = takes_training(teacher)
            outputs.append(teacher(x, training=False) if takes else teacher(x))
        return outputs

    def logits_of_each(self, inputs):
        """A list of each teacher's logits, in float32 (float64 if a teacher gives that).

        For a Keras model that ends in a softmax, these are the logs of its probabilities.
        """
        logits = []
        for place, output in enumerate(self.outputs_of_each(inputs)):
            output = ops.convert_to_tensor(output)
            if keras.backend.standardize_dtype(output.dtype) != "float64":
                output = ops.cast(output, "float32")
            if self._is_probability(place, output):
                # A probability that underflowed to 0 keeps a finite log.
                output = ops.log(ops.maximum(output, np.finfo("float32").tiny))
            logits.append(output)
        if len({z.dtype for z in logits}) > 1:
            logits = [ops.cast(z, "float64") for z in logits]
        return logits

    def _is_probability(self, place, output):
        """Whether a teacher ends in a softmax; raises if its outputs have no logits."""
        domain = (output_domains(self.teachers[place]) or [None])[0]
        if domain in (SIGMOID, OTHER):
            raise ValueError(
                f"teachers[{place}] must give logits, or end in a softmax. Received: a model that "
                f"ends in {'a sigmoid' if domain == SIGMOID else 'another activation'}. Remove it."
            )
        # Only the values of a real batch show a function's domain, and a Distiller's first is real.
        is_real = domain is None and tf.executing_eagerly() and not is_keras_tensor(output)
        if is_real and could_come_from(SOFTMAX, ops.convert_to_numpy(output)):
            raise ValueError(
                f"teachers[{place}] gives what looks like probabilities, and no layer tells "
                "whether it is. Give a function that returns their logarithm: lambda x: "
                "keras.ops.log(teacher(x))."
            )
        return domain == SOFTMAX

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "teachers": [serialize(teacher) for teacher in self.teachers],
            "preprocessors": [serialize(function) for function in self.preprocessors],
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))
