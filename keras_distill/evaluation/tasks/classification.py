"""Measures of classifiers, against labels and against a teacher."""

import numpy as np

from keras_distill._arguments.imports import import_module
from keras_distill.evaluation.model_runs import log_probabilities
from keras_distill.evaluation.statistics import Measure
from keras_distill.evaluation.statistics import OfCounts
from keras_distill.evaluation.statistics import OfSums
from keras_distill.evaluation.statistics import mcnemar
from keras_distill.evaluation.statistics import share

_NUM_BINS = 15


class Classification:
    """Examples with one class each.

    Args:
        labels: Class indices, int `(examples,)`, or None.
    """

    name = "classification"

    def __init__(self, labels):
        self.labels = labels

    def answers(self, outputs, domain):
        """Log probabilities `(examples, classes)` of a model's outputs."""
        return log_probabilities(outputs, domain)

    def measures(self, answers):
        """accuracy, macro_f1, nll, brier, ece, and auc (two classes) or top_5_accuracy."""
        labels, (num_examples, num_classes) = self.labels, answers.shape
        rows = np.arange(num_examples)
        predicted, probabilities = answers.argmax(axis=1), np.exp(answers)
        squares = np.sum(probabilities**2, axis=1) - 2 * probabilities[rows, labels] + 1
        calibration = _calibration_terms(labels, probabilities)
        measures = [
            share("accuracy", np.equal(predicted, labels), "share of right answers"),
            Measure(
                "macro_f1",
                OfSums(self._f1_terms(answers), _macro_f1),
                is_share=True,
                meaning="mean F1 of the classes: rare ones count as much as common ones",
            ),
            Measure(
                "nll",
                OfSums(-answers[rows, labels]),
                is_higher_better=False,
                meaning="minus the log of the right class's probability, in nats",
            ),
            Measure(
                "brier",
                OfSums(squares),
                is_higher_better=False,
                meaning="squared error of the probabilities, 0 to 2",
            ),
            Measure(
                "ece",
                OfSums(calibration, _calibration_error),
                is_share=True,
                is_higher_better=False,
                meaning="expected calibration error: mean gap between confidence and accuracy",
            ),
        ]
        if num_classes == 2:
            scores = answers[:, 1] - answers[:, 0]
            meaning = "how well scores separate the two classes, at any threshold"
            measures.append(Measure("auc", _auc(labels, scores), is_share=True, meaning=meaning))
        if num_classes > 5:
            of_label = answers[rows, labels][:, None]
            # Among equal probabilities, the first class ranks first, as in argmax.
            is_before = np.arange(num_classes) < labels[:, None]
            rank = np.sum((answers > of_label) | ((answers == of_label) & is_before), axis=1)
            meaning = "share for which the right class is among the first five"
            measures.append(share("top_5_accuracy", rank < 5, meaning))
        return measures

    def teacher_measures(self, teacher, answers):
        """agreement: share of equal classes; fidelity: KL(teacher || student) in nats."""
        divergence = np.sum(np.exp(teacher) * (teacher - answers), axis=1)
        is_same = np.equal(teacher.argmax(axis=1), answers.argmax(axis=1))
        meaning = "distance of the probabilities from the teacher's, KL in nats"
        return [
            share("agreement", is_same, "share of examples with the teacher's class"),
            Measure("fidelity", OfSums(divergence), is_higher_better=False, meaning=meaning),
        ]

    def class_f1(self, answers):
        """The statistic of the F1 of each class."""
        return OfSums(self._f1_terms(answers), _class_f1)

    def mcnemar(self, baseline, answers):
        """p value of McNemar's test that both models have the same accuracy."""
        return mcnemar(*(np.equal(a.argmax(axis=1), self.labels) for a in (baseline, answers)))

    def reliability(self, answers):
        """Accuracy by confidence, in 15 bins of equal width.

        Returns:
            `(confidence, accuracy, count)`, `(bins,)` each, without empty bins.
        """
        sums = _calibration_terms(self.labels, np.exp(answers)).sum(axis=0)
        confidence, right, count = np.split(np.asarray(sums), 3)
        is_used = count > 0
        count = count[is_used]
        return confidence[is_used] / count, right[is_used] / count, count.astype(int)

    def _f1_terms(self, answers):
        """For each example and class, sparse: correctly predicted, is the label, is predicted."""
        labels, predicted = self.labels, answers.argmax(axis=1)
        is_right = predicted == labels
        parts = [(is_right, labels), (np.ones(len(labels)), labels)]
        parts.append((np.ones(len(labels)), predicted))
        return _sparse_columns(parts, answers.shape[1])


def _class_f1(sums):
    """F1, `(resamples, classes)`; NaN for a class without labels and predictions."""
    right, true, predicted = np.split(sums, 3, axis=1)
    total = true + predicted
    return np.divide(2 * right, total, out=np.full_like(total, np.nan), where=total > 0)


def _macro_f1(sums):
    return np.nanmean(_class_f1(sums), axis=1)


def _calibration_terms(labels, probabilities):
    """For each example and bin of confidence, sparse: confidence, is correct, is in the bin."""
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * _NUM_BINS).astype(int), _NUM_BINS - 1)
    is_right = probabilities.argmax(axis=1) == labels
    parts = [(values, bins) for values in (confidence, is_right, np.ones(len(bins)))]
    return _sparse_columns(parts, _NUM_BINS)


def _calibration_error(sums):
    """Expected calibration error, Guo et al. 2017, https://arxiv.org/abs/1706.04599."""
    confidence, right, count = np.split(sums, 3, axis=1)
    return np.abs(confidence - right).sum(axis=1) / count.sum(axis=1)


def _sparse_columns(parts, width):
    """Puts each part's value of an example into one of `width` columns; parts are concatenated."""
    sparse = import_module("scipy.sparse")
    arrays = []
    for values, columns in parts:
        rows = np.arange(len(columns))
        entries = (np.asarray(values, "float64"), (rows, columns))
        arrays.append(sparse.csr_array(entries, shape=(len(columns), width)))
    return sparse.hstack(arrays).tocsr()


def _auc(labels, scores):
    """The share of pairs of both classes whose scores are in order, ties counting half.

    The scores are sorted once for all resamples; scikit-learn would sort and check each anew.
    """
    order = np.argsort(scores)
    labels, scores = labels[order], scores[order]
    starts_of_ties = np.flatnonzero(np.diff(scores, prepend=-np.inf))

    def statistic(counts):
        by_class = [counts[:, order] * (labels == label) for label in (0, 1)]
        negative, positive = (
            np.add.reduceat(part.astype("float64"), starts_of_ties, axis=1) for part in by_class
        )
        below = np.cumsum(negative, axis=1) - negative / 2
        num_pairs = negative.sum(axis=1) * positive.sum(axis=1)
        in_order = np.sum(positive * below, axis=1)
        none = np.full_like(in_order, np.nan)
        return np.divide(in_order, num_pairs, out=none, where=num_pairs > 0)

    return OfCounts(statistic)
