"""Turns a teacher with one output for two classes into one with two outputs."""

import keras
import numpy as np
from keras import ops

from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import output_domains
from keras_distill.layers.class_names import class_names_of
from keras_distill.layers.class_names import with_class_names

# Keras clips the probabilities of its binary cross-entropy in the same way.
_SMALLEST = 1e-7


def with_two_outputs(model, path):
    """Gives a classifier with one output the logits of both of its classes, 0 and z.

    The softmax of these logits gives the classifier's probabilities, 1 - sigmoid(z) and
    sigmoid(z).

    Args:
        model: A Keras model with one input, and one output `(batch, 1)`: the logit z of the
            second class, or its probability from a sigmoid.
        path: The model's file, for the error.

    Returns:
        A Keras model with the same inputs, and outputs `(batch, 2)`. It keeps the names of the
        classes, if the model has names.

    Raises:
        ValueError: If the last layer does not show whether the output is a logit or a probability.
    """
    (domain,) = output_domains(model) or (None,)
    if domain not in (LOGITS, SIGMOID):
        raise ValueError(
            "teacher must end in a Dense layer without activation, or in a sigmoid, if it has one "
            f"output for two classes. Received: {path}, which ends in neither. Give it an output "
            "for each class."
        )
    (read,) = model.inputs
    inputs = keras.Input(batch_shape=read.shape, dtype=read.dtype, name=read.name)
    # The model is used as one layer: its layers may have the names of those that are added.
    (logit,) = keras.tree.flatten(model(inputs))
    if domain == SIGMOID:
        p = ops.clip(ops.cast(logit, "float32"), _SMALLEST, 1 - _SMALLEST)
        logit = ops.log(p) - ops.log1p(-p)
    # The last layer is a Dense layer, which shows that the outputs are logits.
    both = keras.layers.Dense(2, use_bias=False, trainable=False, dtype="float32", name="both")
    made = keras.Model(inputs, both(logit), name=model.name)
    both.set_weights([np.array([[0.0, 1.0]])])
    names = class_names_of(model)
    return made if names is None else with_class_names(made, list(names))
