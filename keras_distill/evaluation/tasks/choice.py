"""Chooses the task of models by their labels and outputs."""

import numpy as np

from keras_distill.evaluation import model_runs
from keras_distill.evaluation.tasks.classification import Classification
from keras_distill.evaluation.tasks.regression import Regression
from keras_distill.evaluation.tasks.tagging import Tagging

_TASKS = (None, Classification.name, Regression.name)


def check_task(task, held_out, class_names):
    """Raises `ValueError` unless the labels and the names of classes fit this task.

    Args:
        task: "classification", "regression", or None.
        held_out: The `HeldOut` data.
        class_names: Names of the classes that the caller gives, or None.
    """
    if task not in _TASKS:
        raise ValueError(
            f'task must be None, "classification" or "regression". Received: task={task!r}'
        )
    labels = held_out.labels
    if task is None:
        labelled(labels)
        return
    if isinstance(labels, list):
        raise ValueError(
            "task must be None where labels are tags of words. Received: "
            f"task={task!r}. Leave it out."
        )
    names = held_out.class_names if class_names is None else class_names
    if task == Regression.name and names is not None:
        raise ValueError(
            'task="regression" has no classes. Received: names of classes, '
            f"{', '.join(map(repr, names[:8]))}. Give labels that are numbers, and no class_names."
        )
    if task == Classification.name and labels is not None:
        if labels.dtype.kind == "f" and not _are_whole(labels):
            raise ValueError(
                'task="classification" must have labels that are indices of classes, 0 and more, '
                f"or -1 for none. Received: labels such as {labels[~_is_index(labels)][0]:g}"
            )
        labelled(labels.astype("int64"))


def labelled(labels):
    """Indices of the examples with a label, if some have none; else None."""
    if labels is None or isinstance(labels, list) or labels.dtype.kind == "f":
        return None
    places = np.flatnonzero(labels >= 0)
    if len(places) == 0:
        raise ValueError(
            "data must have labels of at least 0, or none at all. Received: labels that are all "
            "negative. Leave them out to compare with the teacher only."
        )
    return None if len(places) == len(labels) else places


def choose_task(labels, class_names, raw, domains, task=None):
    """Distinguishes classes, numbers and tags.

    Args:
        labels: As in `HeldOut`.
        class_names: Names of the classes, or None.
        raw: Dict from a model's name to its outputs, a list of rows or an array.
        domains: Dict from a model's name to the domain of its outputs.
        task: As in `check_task`.

    Returns:
        The task, and the indices of the examples that have a label, None for all.
    """
    if isinstance(labels, list):
        return Tagging(labels, class_names), None
    widths = {name: values[0].size for name, values in raw.items()}
    has_one_output = max(widths.values()) == 1
    # Names of classes, or a sigmoid, show that the models classify.
    is_named = class_names is not None or model_runs.SIGMOID in domains.values()
    are_rows = all(np.ndim(values) == 2 for values in raw.values())
    if task is None and labels is None and are_rows and not (has_one_output or is_named):
        _check_are_probabilities(raw, domains)
    if task is None:
        task = _told_by(labels, has_one_output, is_named)
    if task == Regression.name:
        if not has_one_output:
            received = f"Received, numbers of outputs: {widths}"
            if labels is not None and not _are_whole(labels):
                received += f"; labels such as {labels[labels != np.floor(labels)][0]:g}"
            raise ValueError(
                "Models that are compared on numbers, labels of a float dtype, must give one "
                f"number. {received}. Give indices of the classes to compare classifiers."
            )
        return Regression(None if labels is None else labels.astype("float64")), None
    if labels is None:
        return Classification(None), None
    labels = labels.astype("int64")
    kept = labelled(labels)
    return Classification(labels if kept is None else labels[kept]), kept


def check_classes(answers, task, class_names):
    """Raises `ValueError` unless all models have the classes of the labels and names."""
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
            "class_names, the names of all classes in the order of the outputs."
        )
    if task.labels is not None and task.labels.max() >= num_classes:
        raise ValueError(
            f"data must have labels below {num_classes}, the number of the models' classes. "
            f"Received: a label of {task.labels.max()}. Number the classes from 0; for numbers to "
            'predict, give task="regression" (--task).'
        )


def _told_by(labels, has_one_output, is_named):
    """The task that labels and models show."""
    if labels is None:
        is_class = is_named or not has_one_output
    elif labels.dtype.kind != "f":
        is_class = True
    elif not has_one_output:
        is_class = _are_whole(labels)
    else:
        # With one output, labels from 1 to 5 may be ratings.
        is_class = bool(np.isin(labels, (-1, 0, 1)).all())
        if is_class and not is_named:
            raise ValueError(
                'task must be given, "classification" or "regression": labels of a float dtype '
                f"that are {', '.join(f'{label:g}' for label in np.unique(labels))} alone can be "
                "classes or numbers, and no model ends in a sigmoid, which would tell. Received: "
                "models with one output, and no task."
            )
    return Classification.name if is_class else Regression.name


def _check_are_probabilities(raw, domains):
    """Raises `ValueError` if the several outputs of all models could be numbers, not classes."""
    if not any(model_runs.are_probabilities(values, domains[name]) for name, values in raw.items()):
        raise ValueError(
            'task must be given, "classification" or "regression": without labels, several '
            "outputs can be the logits of classes or numbers. Received: outputs of shape "
            f"{next(iter(raw.values())).shape}, neither named nor probabilities, and no task."
        )


def _are_whole(labels):
    """Whether labels are whole numbers; many files and tables have class indices as floats."""
    return bool(np.all(_is_index(labels)))


def _is_index(labels):
    return (labels == np.floor(labels)) & (labels >= -1)
