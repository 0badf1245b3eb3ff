"""Multi-label models, which are recognised by the loss of their training.

Their last layer may give plain logits, like a classifier with one class for each example. A
softmax of these would be wrong: it can turn three true labels, with probabilities of 1, 1 and 1,
into 0.02, 0.01 and 0.97.
"""

import weakref

import keras

from keras_distill._keras.graph import origin
from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import output_domains

_NAMES = ("bce", "binarycrossentropy", "binaryfocalcrossentropy")
# The weak set forgets models that no longer exist.
_taught = weakref.WeakSet()


def remember(model, *losses):
    """Remembers the losses that train a model's output, each a loss, a name or None."""
    if any(map(is_yes_or_no, losses)):
        _taught.add(model)


def has_several_labels(model):
    """Whether a model with one output of logits is known to be multi-label.

    The known losses are its compile loss, and those of its `Distiller` or its .keras file.
    """
    domains = output_domains(model)
    outputs = getattr(model, "outputs", None)
    if domains != [LOGITS] or not outputs or outputs[0].shape[-1] == 1:
        return False
    if is_taught_yes_or_no(model):
        return True
    # The last layer may be a nested model, for instance after a preprocessor.
    operation = origin(outputs[0]).operation
    return isinstance(operation, keras.Model) and has_several_labels(operation)


def is_taught_yes_or_no(model):
    """Whether the known losses of a model treat each class as binary."""
    return model in _taught or is_yes_or_no(getattr(model, "loss", None))


def is_yes_or_no(loss):
    """Whether a loss treats each class as binary; a dict is a serialized loss."""
    if isinstance(loss, dict) and "class_name" in loss:
        loss = str(loss["class_name"])
    leaves = keras.tree.flatten(loss)
    loss = leaves[0] if len(leaves) == 1 else None
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    if name.lower().replace("_", "") in _NAMES:
        return True
    return getattr(loss, "activation", None) == "sigmoid"
