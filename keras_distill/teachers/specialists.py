"""Specialists: several teachers, each with its own classes."""

import keras
from keras import ops

from keras_distill.teachers.several import SeveralTeachers


@keras.saving.register_keras_serializable(package="keras_distill")
class Specialists(SeveralTeachers):
    """Concatenates the logits of teachers that know different classes.

    ```
    output = [logits_1 | logits_2 | ...]
    ```

    `losses.SpecialistKL`, which gets the classes of each teacher, compares a student of all
    classes with this output.

    Args:
        teachers: Models or functions from inputs to logits, `(batch, ..., classes_i)`. If the
            last layer of a Keras model is a softmax, the log of its probabilities is used.
        preprocessors: One function or None per teacher, from the inputs to the teacher's.
            The functions must use TensorFlow operations; None passes the inputs on.
        name: Name of the model.

    Call arguments:
        inputs: Inputs of the teachers or their preprocessors.

    Returns:
        Logits `(batch, ..., sum of all classes_i)`, float32 (float64 if a teacher gives that).

    Raises:
        ValueError: If teachers are not models or functions, or the length of preprocessors differs.

    Example:

    >>> import numpy as np
    >>> of_two, of_three = (lambda x: x[:, :2]), (lambda x: x[:, 1:])
    >>> Specialists([of_two, of_three])(np.array([[1.0, 2.0, 3.0, 4.0]])).numpy().tolist()
    [[1.0, 2.0, 2.0, 3.0, 4.0]]

    Reference: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, section 5, introduces
    specialists for subsets of the classes. Deviation: theirs have one more class for all other
    classes; these do not.
    """

    def __init__(self, teachers, preprocessors=None, name="specialists"):
        super().__init__(teachers, preprocessors, name)

    def call(self, inputs, training=False):
        return ops.concatenate(self.logits_of_each(inputs), axis=-1)
