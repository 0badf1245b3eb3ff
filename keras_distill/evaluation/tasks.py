"""What models do, told by the labels and by what the models give."""

import numpy as np

from keras_distill.evaluation import outputs
from keras_distill.evaluation.classification import Classification
from keras_distill.evaluation.regression import Regression
from keras_distill.evaluation.tagging import Tagging


def labelled(labels):
    """Indices of the examples with a label, where some have none; else None."""
    if labels is None or isinstance(labels, list) or labels.dtype.kind == "f":
        return None
    places = np.flatnonzero(labels >= 0)
    if len(places) == 0:
        raise ValueError(
            "data must have labels of at least 0, or none at all. Received: labels that are all "
            "negative. Leave them out to compare with the teacher only."
        )
    return None if len(places) == len(labels) else places


def choose_task(labels, class_names, raw, sources):
    """Tells classes, numbers and tags apart.

    Args:
        labels: As of `HeldOut`.
        class_names: Names of the classes, or None.
        raw: Dict from a model's name to what it gave, a list of rows or an array.
        sources: Dict from a model's name to its `Source`.

    Returns:
        The task, and the indices of the examples that have a label, None for all.
    """
    if isinstance(labels, list):
        return Tagging(labels, class_names), None
    widths = {name: values[0].size for name, values in raw.items()}
    width = max(widths.values())
    if labels is not None and labels.dtype.kind == "f":
        if not _are_classes(labels, width):
            if width != 1:
                raise ValueError(
                    "Models that are compared on labels of a float dtype must give one number. "
                    f"Received, numbers of outputs: {widths}; labels such as "
                    f"{labels[labels != np.floor(labels)][0]:g}. Give indices of the classes."
                )
            return Regression(labels), None
        labels = labels.astype("int64")
    is_class = width > 1 or class_names is not None
    is_class = is_class or any(source.domain == outputs.SIGMOID for source in sources.values())
    if labels is None:
        return Classification(None) if is_class else Regression(None), None
    kept = labelled(labels)
    return Classification(labels if kept is None else labels[kept]), kept


def check_classes(answers, task, class_names):
    """Raises `ValueError` unless all models have as many classes as labels and names say."""
    shapes = {name: values.shape[1:] for name, values in answers.items()}
    if not isinstance(task, Regression) and any(len(shape) != 1 for shape in shapes.values()):
        raise ValueError(
            "Models that are compared on one label for each example must give one row, (examples, "
            f"classes). Received, shapes of an answer: {shapes}"
        )
    if len(set(shapes.values())) > 1:
        raise ValueError(
            "models must have the same classes in the same order. Received, numbers of classes: "
            f"{ {name: shape[0] for name, shape in shapes.items()} }"
        )
    if isinstance(task, Regression):
        return
    (num_classes,) = next(iter(shapes.values()))
    if class_names is not None and len(class_names) != num_classes:
        raise ValueError(
            f"The models have {num_classes} classes, which data and models must name alike. "
            f"Received: {len(class_names)} names, {', '.join(map(repr, class_names[:8]))}. Give "
            "class_names (--classes), the names of all classes in the order of the outputs."
        )
    if task.labels is not None and task.labels.max() >= num_classes:
        raise ValueError(
            f"data must have labels below {num_classes}, the number of the models' classes. "
            f"Received: a label of {task.labels.max()}"
        )


def _are_classes(labels, width):
    """Whether labels of a float dtype are indices of classes, as many files and tables have them.

    Of one output 0 and 1 alone are: it may be a sigmoid's, and 1 to 5 may be stars.
    """
    if width == 1:
        return bool(np.isin(labels, (0, 1)).all())
    return bool(np.all((labels == np.floor(labels)) & (labels >= -1)))
