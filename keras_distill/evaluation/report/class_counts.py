"""Counts of the answers of classifiers by class."""

import numpy as np


def class_names(comparison):
    """Names of the classes, or their numbers if they have no names."""
    if comparison.class_names is not None:
        return list(comparison.class_names)
    num_classes = next(iter(comparison.answers.values())).shape[1]
    return [str(number) for number in range(num_classes)]


def class_counts(comparison):
    """Number of examples with each class as their label."""
    return np.bincount(comparison.task.labels, minlength=len(class_names(comparison)))


def pair_counts(comparison, rows, name):
    """int `(classes, classes)`: counts of pairs of classes.

    Args:
        rows: int `(examples,)`: the class of each example for the rows, labels or a model's.
        name: The model whose classes the columns are.
    """
    counts = np.zeros((len(class_names(comparison)),) * 2, int)
    np.add.at(counts, (rows, comparison.answers[name].argmax(axis=1)), 1)
    return counts


def frequent(counts, max_pairs):
    """The pairs of different classes that are most frequent: (row, column, count)."""
    counts = counts * (1 - np.eye(len(counts), dtype=int))
    order = np.argsort(-counts, axis=None, kind="stable")[:max_pairs]
    pairs = zip(*np.unravel_index(order, counts.shape))
    return [(int(r), int(c), int(counts[r, c])) for r, c in pairs if counts[r, c]]
