"""A teacher with one output for two classes, as one with an output for each."""

import keras
import numpy as np
from keras import ops

from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import output_domains
from keras_distill.layers.class_names import class_names_of
from keras_distill.layers.class_names import with_class_names

# As Keras clips the probabilities of its binary cross-entropy.
_SMALLEST = 1e-7


def with_two_outputs(model, path):
    """Gives a classifier with one output the logits of both of its classes, 0 and z.

    Their softmax has the classifier's own probabilities, 1 - sigmoid(z) and sigmoid(z).

    Args:
        model: A Keras model with one input, and one output `(batch, 1)`: the logit z of the
            second class, or its probability behind a sigmoid.
        path: Its file, for the error.

    Returns:
        A Keras model with the same inputs, and outputs `(batch, 2)`. If the model names its
        classes, it does so, too.

    Raises:
        ValueError: If the last layer does not say which of both it gives.
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
    # As one layer: its own may have the names of those behind it.
    (logit,) = keras.tree.flatten(model(inputs))
    if domain == SIGMOID:
        p = ops.clip(ops.cast(logit, "float32"), _SMALLEST, 1 - _SMALLEST)
        logit = ops.log(p) - ops.log1p(-p)
    # A layer that says that it gives logits.
    both = keras.layers.Dense(2, use_bias=False, trainable=False, dtype="float32", name="both")
    made = keras.Model(inputs, both(logit), name=model.name)
    both.set_weights([np.array([[0.0, 1.0]])])
    names = class_names_of(model)
    return made if names is None else with_class_names(made, list(names))
