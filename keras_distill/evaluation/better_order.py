"""Tests whether a classifier's outputs have another order of classes than assumed."""

import numpy as np

from keras_distill._arguments.imports import import_module

_ORDER_LEVEL = 0.001
_SMALLEST_GAIN = 0.1


def better_order(labels, probabilities):
    """Finds out whether a classifier's outputs have another order of classes than assumed.

    The best order is found on one half of the examples and tested on the other half: by a sign
    test at a level of 0.1 %, and Cohen's kappa must rise by 0.1. Kappa is 0 for a model that
    gives all examples the same class.

    Args:
        labels: int `(examples,)`.
        probabilities: `(examples, classes)`.

    Returns:
        The accuracies with the classes in the given order and in the best order; None if no order
        is clearly better.
    """
    num_classes = probabilities.shape[1]
    # The halves take the examples of each class in turn.
    half = np.empty(len(labels), int)
    half[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % 2
    assign = import_module("scipy.optimize").linear_sum_assignment
    predicted = probabilities.argmax(axis=1)
    reordered = np.empty(len(labels), int)
    for part in (0, 1):
        is_other = half != part
        sums = np.zeros((num_classes, num_classes))
        np.add.at(sums, labels[is_other], probabilities[is_other])
        classes, outputs = assign(sums, maximize=True)
        class_of_output = np.empty(num_classes, int)
        class_of_output[outputs] = classes
        reordered[half == part] = class_of_output[predicted[half == part]]
    is_right, would_be = predicted == labels, reordered == labels
    won, lost = int(np.sum(would_be & ~is_right)), int(np.sum(is_right & ~would_be))
    if won <= lost:
        return None
    test = import_module("scipy.stats").binomtest(won, won + lost, alternative="greater")
    gain = _kappa(labels, reordered, num_classes) - _kappa(labels, predicted, num_classes)
    if test.pvalue > _ORDER_LEVEL or gain < _SMALLEST_GAIN:
        return None
    return float(is_right.mean()), float(would_be.mean())


def _kappa(labels, predicted, num_classes):
    shares = (np.bincount(c, minlength=num_classes) / len(c) for c in (labels, predicted))
    by_chance = float(np.prod(list(shares), axis=0).sum())
    if by_chance == 1:
        return 0.0
    return (float(np.mean(labels == predicted)) - by_chance) / (1 - by_chance)
