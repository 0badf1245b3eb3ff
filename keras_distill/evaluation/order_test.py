"""Whether a classifier's answers have to do with the labels, and with its classes in this order."""

import math

import numpy as np

from keras_distill._arguments.imports import import_module

_CHANCE_LEVEL = 0.05
_ORDER_LEVEL = 0.001
_SMALLEST_GAIN = 0.1


def is_at_chance(labels, probabilities):
    """Whether the labels might as well have been dealt to the examples at random.

    The statistic is the mean probability of the label. Of all ways to deal the same labels its
    mean and variance are exact (Hoeffding 1951, https://doi.org/10.1214/aoms/1177729544), its
    distribution taken for normal. One-sided, at a level of 5 %: a teacher that is a little better
    than chance on some hundred examples is none at chance.

    Args:
        labels: int `(examples,)`.
        probabilities: `(examples, classes)`.

    Returns:
        Whether it is; False where so few examples cannot tell.
    """
    num_examples, num_classes = probabilities.shape
    counts = np.bincount(labels, minlength=num_classes)
    # log of the number of ways: with less than 20, the best teacher would look like chance.
    ways = math.lgamma(num_examples + 1) - sum(math.lgamma(count + 1) for count in counts)
    if ways < -math.log(_CHANCE_LEVEL):
        return False
    centred = probabilities - probabilities.mean(axis=0)
    centred = centred - (centred @ counts / num_examples)[:, None]
    variance = np.sum(counts * centred**2) / (num_examples - 1)
    excess = np.sum(centred[np.arange(num_examples), labels])
    if variance <= np.finfo("float32").eps ** 2 * num_examples:
        return True
    return bool(import_module("scipy.stats").norm.sf(excess / math.sqrt(variance)) > _CHANCE_LEVEL)


def better_order(labels, probabilities):
    """Finds out whether a classifier has other classes in its outputs than it is taken to have.

    The best order is found on one half of the examples, and tried on the other: by a sign test
    at a level of 0.1 %, and it must gain 0.1 of Cohen's kappa. That is 0 for a model which gives
    all examples the same class.

    Args:
        labels, probabilities: As of `is_at_chance`.

    Returns:
        The accuracy with the classes as they are and in the best order; None if no order is
        clearly better.
    """
    num_classes = probabilities.shape[1]
    # Every second example of each class.
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
