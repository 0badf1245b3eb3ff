"""Specialists: several teachers, each of classes of its own."""

import keras
from keras import ops

from keras_distill.teachers.several import SeveralTeachers


@keras.saving.register_keras_serializable(package="keras_distill")
class Specialists(SeveralTeachers):
    """Puts the logits of teachers that know different classes side by side.

    ```
    output = [logits_1 | logits_2 | ...]
    ```

    `losses.SpecialistKL`, which is told the classes of each, compares a student of all
    classes with it.

    Args:
        teachers: Models or functions from inputs to logits, `(batch, ..., classes_i)`. Of a
            Keras model whose last layer is a softmax, the log of its probabilities is taken.
        preprocessors: One function or None per teacher, from the inputs to the teacher's.
            Functions of TensorFlow operations; None passes the inputs on.
        name: Name of the model.

    Call arguments:
        inputs: What the teachers, or their preprocessors, take.

    Returns:
        Logits `(batch, ..., sum of all classes_i)`, float32 (float64 if a teacher gives that).

    Raises:
        ValueError: If teachers are no models or functions, or preprocessors of another length.

    Example:

    >>> import numpy as np
    >>> of_two, of_three = (lambda x: x[:, :2]), (lambda x: x[:, 1:])
    >>> Specialists([of_two, of_three])(np.array([[1.0, 2.0, 3.0, 4.0]])).numpy().tolist()
    [[1.0, 2.0, 2.0, 3.0, 4.0]]

    Reference: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, section 5, names models of
    subsets of the classes so. Deviation: theirs have a class for all the rest; these have none.
    """

    def __init__(self, teachers, preprocessors=None, name="specialists"):
        super().__init__(teachers, preprocessors, name)

    def call(self, inputs, training=False):
        return ops.concatenate(self.logits_of_each(inputs), axis=-1)
