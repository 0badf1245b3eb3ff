"""Tests whether a classifier is better than chance, and whether its classes are in order."""

import math

import numpy as np

from keras_distill._arguments.imports import import_module

_CHANCE_LEVEL = 0.05
_ORDER_LEVEL = 0.001
_SMALLEST_GAIN = 0.1


def is_at_chance(labels, probabilities):
    """Whether a classifier is at chance: the labels could be a random permutation.

    The statistic is the mean probability of the label. Its mean and variance over all permutations
    of the labels are exact (Hoeffding 1951, https://doi.org/10.1214/aoms/1177729544), and its
    distribution is assumed to be normal. The test is one-sided, at a level of 5 %: a teacher that
    is slightly better than chance on a few hundred examples is not at chance.

    Args:
        labels: int `(examples,)`.
        probabilities: `(examples, classes)`.

    Returns:
        Whether it is at chance; False if there are too few examples to tell.
    """
    num_examples, num_classes = probabilities.shape
    counts = np.bincount(labels, minlength=num_classes)
    # log of the number of permutations: with less than 20, a perfect teacher would look random.
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
    """Finds out whether a classifier's outputs have another order of classes than assumed.

    The best order is found on one half of the examples and tested on the other half: by a sign
    test at a level of 0.1 %, and Cohen's kappa must rise by 0.1. Kappa is 0 for a model that
    gives all examples the same class.

    Args:
        labels, probabilities: As for `is_at_chance`.

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
