"""Names of the classes of an exported classifier."""

import collections

import keras

from keras_distill._arguments.names import problem_of_name
from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import SOFTMAX
from keras_distill._keras.output_domain import output_domains
from keras_distill._keras.several_labels import has_several_labels
from keras_distill.layers.class_names import class_names_of


def classifier_domain(model):
    """Whether a model is a classifier, and of which kind.

    Returns:
        "logits" or "softmax" if its only output is (batch, classes) in this domain, as the
        last layer shows, and nothing shows that an example may have several classes; else None.
    """
    if has_several_labels(model):
        return None
    domains = output_domains(model)
    if not domains or len(domains) != 1 or domains[0] not in (LOGITS, SOFTMAX):
        return None
    shape = model.outputs[0].shape
    return domains[0] if len(shape) == 2 and shape[-1] and shape[-1] > 1 else None


def check_class_names(class_names):
    """Raises `ValueError` unless they are names of one line each."""
    # A set has no order, and the order of a dict may differ from that of the outputs.
    if not isinstance(class_names, (list, tuple)) or not all(
        isinstance(name, str) for name in class_names
    ):
        raise ValueError(
            "class_names must be a list of names, in the order of the outputs. Received: "
            f"class_names={class_names!r:.200}"
        )
    for name in class_names:
        if problem := problem_of_name(name):
            raise ValueError(
                f"class_names must be names of one line each. Received: {name!a}, which {problem}."
            )
    if len(set(class_names)) < len(class_names):
        (repeated, _), *_ = collections.Counter(class_names).most_common(1)
        raise ValueError(f"class_names must differ. Received more than once: {repeated!r}")


def check_classifier(model, class_names):
    """Raises `ValueError` unless a model is a classifier with one class for each name."""
    if has_several_labels(model):
        raise ValueError(
            "class_names must be left out, and metadata, for a model that may give an example "
            "several classes: the file would have a softmax over them. Received: "
            f"{len(class_names)} names for the model {model.name!r}, which was taught by a binary "
            "loss. If just one class is right, end it in a keras.layers.Softmax()."
        )
    names = class_names_of(model) or ()
    if any(given != name and given in names for given, name in zip(class_names, names)):
        raise ValueError(
            "class_names must be in the order of the model's classes, whose names it knows; they "
            f"may be other names. Received: class_names={list(class_names)!r:.200}; "
            f"{model.name!r} has {list(names)!r:.200}"
        )
    num_classes = None if classifier_domain(model) is None else model.outputs[0].shape[-1]
    if num_classes != len(class_names):
        shapes = keras.tree.map_structure(lambda x: tuple(x.shape), getattr(model, "outputs", None))
        raise ValueError(
            "class_names must name each class of the model's one output (batch, classes), which is "
            "logits or ends in a softmax layer. Received: "
            f"{len(class_names)} names for the model {model.name!r} with the outputs {shapes}"
        )
