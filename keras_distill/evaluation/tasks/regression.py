"""Measures of models that predict a number."""

import numpy as np

from keras_distill._arguments.imports import import_module
from keras_distill.evaluation.statistics import Measure
from keras_distill.evaluation.statistics import OfSums
from keras_distill.evaluation.statistics import of_examples


class Regression:
    """Examples with one number each.

    Args:
        labels: float `(examples,)`, or None.
    """

    name = "regression"

    def __init__(self, labels):
        self.labels = labels

    def answers(self, outputs, domain):
        """The numbers, `(examples,)`."""
        return np.asarray(outputs, "float64").reshape(len(outputs), -1)[:, 0]

    def measures(self, answers):
        """mae (mean absolute error) and spearman (rank correlation)."""
        rank = of_examples(lambda chosen: _rank_correlation(self.labels[chosen], answers[chosen]))
        errors = np.abs(answers - self.labels)
        return [
            Measure("mae", OfSums(errors), is_higher_better=False, meaning="mean absolute error"),
            Measure("spearman", rank, meaning="rank correlation with the labels, -1 to 1"),
        ]

    def teacher_measures(self, teacher, answers):
        """teacher_mae: the mean absolute difference from the teacher."""
        errors = OfSums(np.abs(teacher - answers))
        meaning = "mean absolute difference from the teacher"
        return [Measure("teacher_mae", errors, is_higher_better=False, meaning=meaning)]


def _rank_correlation(labels, predicted):
    if np.ptp(labels) == 0 or np.ptp(predicted) == 0:
        return np.nan
    return float(import_module("scipy.stats").spearmanr(labels, predicted).statistic)
