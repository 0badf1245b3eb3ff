"""Names of the classes of an exported classifier."""

import keras

from keras_distill.output_domain import LOGITS
from keras_distill.output_domain import SOFTMAX
from keras_distill.output_domain import output_domains


def classifier_domain(model):
    """Whether a model is a classifier, and of which kind.

    Returns:
        "logits" or "softmax" if its one output is (batch, classes) of that domain, which
        the last layer says; else None.
    """
    domains = output_domains(model)
    if not domains or len(domains) != 1 or domains[0] not in (LOGITS, SOFTMAX):
        return None
    shape = model.outputs[0].shape
    return domains[0] if len(shape) == 2 and shape[-1] and shape[-1] > 1 else None


def check_labels(labels):
    """Raises `ValueError` unless labels are names of one line each."""
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"labels must be a list of names. Received: labels={labels!r}")
    if any("\n" in label or not label.strip() for label in labels):
        raise ValueError(
            f"labels must be names of one line each, none empty. Received: labels={labels!r}"
        )


def check_classifier(model, labels):
    """Raises `ValueError` unless a model is a classifier of as many classes as labels."""
    num_classes = None if classifier_domain(model) is None else model.outputs[0].shape[-1]
    if num_classes != len(labels):
        shapes = keras.tree.map_structure(lambda x: tuple(x.shape), getattr(model, "outputs", None))
        raise ValueError(
            "labels must name each class of the model's one output (batch, classes), which is "
            "logits or ends in a softmax layer. Received: "
            f"{len(labels)} labels for the model {model.name!r} with the outputs {shapes}"
        )
