"""Matches each model's outputs to classes by the names of the classes."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class ClassOrder:
    """The classes in the order in which they are compared.

    Args:
        names: Tuple of their names, or None without names.
        places: Dict from a model to the place of each class among its outputs, int
            `(classes,)`; without the models that have the order of the classes.
        of_labels: The class of each class index of the labels, int; None means the same.
        presumed: Tuple of the models that are only assumed to have this order.
    """

    names: tuple | None
    places: dict
    of_labels: np.ndarray | None
    presumed: tuple

    def arrange(self, name, answers):
        """A model's outputs, `(..., its classes)`, with the classes in the common order."""
        return answers if name not in self.places else answers[..., self.places[name]]

    def labels(self, labels):
        """Labels as indices of the classes; -1 (no label) stays."""
        if self.of_labels is None or labels is None:
            return labels
        # The label -1 selects the last entry, which is -1.
        of_labels = np.append(self.of_labels, -1)
        if isinstance(labels, list):
            return [of_labels[row] for row in labels]
        return of_labels[labels]


def match_classes(models, data_names, class_names, has_labels):
    """Finds the order of the classes, and the place of each class in each model's outputs.

    Args:
        models: Dict from a model's name to the names of its classes, a tuple; None for a model
            that does not name them.
        data_names: Names of the data's classes, by class index; None without names. It may lack
            classes that the models have.
        class_names: The caller's names for models and labels without names: different strings,
            or None.
        has_labels: Whether there are labels.

    Returns:
        A `ClassOrder`.

    Raises:
        ValueError: If a class of the data or of a model is unknown to the others, or the order
            of a model's classes cannot be known.
    """
    # Names that two classes share, as in ImageNet's lists, identify neither of them.
    named = {m: names for m, names in models.items() if names and len(set(names)) == len(names)}
    nameless = [model for model in models if model not in named]
    # Labels without names are assumed to have the models' order, and so are models without names.
    presumed = tuple(models if data_names is None else nameless)
    if class_names is not None:
        names, presumed = tuple(class_names), ()
    else:
        names = _common_names(named, nameless, data_names, has_labels)
    if names is None:
        return ClassOrder(None, {}, None, presumed)
    if data_names is not None and (unknown := [n for n in data_names if n not in names]):
        known = "class_names" if class_names is not None else f"models[{next(iter(named))!r}]"
        raise ValueError(
            f"data must have no class that the models do not know. Received: {_listed(unknown)}; "
            f"{known} has {_listed(names)}. Rename the classes of one of them."
        )
    for model, own in named.items():
        _check_same(f"models[{model!r}]", own, names)
    places = {
        model: np.array([own.index(name) for name in names])
        for model, own in named.items()
        if own != names
    }
    of_labels = None
    if data_names is not None and tuple(data_names) != names[: len(data_names)]:
        of_labels = np.array([names.index(name) for name in data_names])
    return ClassOrder(names, places, of_labels, presumed)


def _common_names(named, nameless, data_names, has_labels):
    """The names in the order of the comparison, or None."""
    if not named:
        return data_names
    first = next(iter(named.values()))
    if data_names is None:
        if any(own != first for own in named.values()) and (nameless or has_labels):
            raise ValueError(
                "The models name their classes in different orders, and data has numbers for "
                f"labels, or a model has no names. Received: {_orders(named)}. Give class_names, "
                "in the order of the labels and of the models without names."
            )
        return first
    if set(data_names) == set(first):
        return data_names
    if nameless and set(data_names) < set(first):
        raise ValueError(
            f"data lacks classes, and models[{nameless[0]!r}] does not name its own. Received: "
            f"data with {len(data_names)} of {len(first)} classes. Give class_names, in the order "
            "of that model's outputs."
        )
    return first


def _check_same(owner, own, names):
    if set(own) == set(names):
        return
    missing, unknown = ([n for n in a if n not in b] for a, b in ((names, own), (own, names)))
    raise ValueError(
        f"{owner} must name the classes of the others. Received: {_listed(own)}; unknown to the "
        f"others: {_listed(unknown)}; unknown to it: {_listed(missing)}."
    )


def _orders(named):
    return "; ".join(f"{model}: {_listed(own)}" for model, own in named.items())


def _listed(names):
    shown = ", ".join(map(repr, names[:8]))
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown or "none"
