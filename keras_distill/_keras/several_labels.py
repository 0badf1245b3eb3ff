"""Models that give an example several labels: what they were taught by tells it.

Their last layer may give plain logits, as that of a classifier of one class for each example. A
softmax on them would be wrong: of three labels that all are true, 1, 1 and 1, it makes 0.02, 0.01
and 0.97.
"""

import weakref

import keras

from keras_distill._keras.graph import origin
from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import output_domains

_NAMES = ("bce", "binarycrossentropy", "binaryfocalcrossentropy")
# Models are no longer known once they are gone.
_taught = weakref.WeakSet()


def remember(model, *losses):
    """Notes that a model is taught by these losses of its output, each a loss, a name or None."""
    if any(map(_is_yes_or_no, losses)):
        _taught.add(model)


def has_several_labels(model):
    """Whether a model with one output of logits is known to give several labels.

    Known are the loss that it was compiled with, and those of a `Distiller` and of a .keras file
    that it comes from.
    """
    domains = output_domains(model)
    outputs = getattr(model, "outputs", None)
    if domains != [LOGITS] or not outputs or outputs[0].shape[-1] == 1:
        return False
    if model in _taught or _is_yes_or_no(getattr(model, "loss", None)):
        return True
    # A model of a preprocessor and another model.
    operation = origin(outputs[0]).operation
    return isinstance(operation, keras.Model) and has_several_labels(operation)


def _is_yes_or_no(loss):
    """Whether a loss asks about each class by itself; a dict is a loss as files have it."""
    if isinstance(loss, dict) and "class_name" in loss:
        loss = str(loss["class_name"])
    leaves = keras.tree.flatten(loss)
    loss = leaves[0] if len(leaves) == 1 else None
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    if name.lower().replace("_", "") in _NAMES:
        return True
    return getattr(loss, "activation", None) == "sigmoid"
