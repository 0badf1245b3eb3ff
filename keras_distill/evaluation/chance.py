"""Tests whether a classifier is better than chance."""

import math

import numpy as np

from keras_distill._arguments.imports import import_module

_CHANCE_LEVEL = 0.05


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
