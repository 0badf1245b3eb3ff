"""How far a classifier's confidence can be trusted: coverage against accuracy, calibration."""

import numpy as np

from keras_distill.evaluation.report.cells import Cell
from keras_distill.evaluation.report.cells import Column
from keras_distill.evaluation.report.cells import Table

_COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
# Points of a curve: more would not be seen.
_NUM_POINTS = 200


def curve(labels, answers):
    """Accuracy on the examples on which a model is most sure.

    Args:
        labels: int `(examples,)`.
        answers: Log probabilities `(examples, classes)`.

    Returns:
        Shares of the examples and the accuracies on them, from some examples to all.
    """
    _, right = _surest_first(labels, answers)
    size = len(right)
    counts = np.unique(np.linspace(min(20, size), size, min(_NUM_POINTS, size)).astype(int))
    return counts / size, np.cumsum(right)[counts - 1] / counts


def coverage(labels, answers):
    """The `Table` of thresholds: how many examples a model answers, and how many rightly."""
    confidence, right = _surest_first(labels, answers)
    rows = []
    for share in _COVERAGES:
        count = max(1, round(share * len(right)))
        threshold, accuracy = confidence[count - 1], right[:count].mean()
        rows.append(
            [
                Cell(f"{100 * share:.0f} %", share),
                Cell(f"{threshold:.2f}" if share < 1 else "any", threshold),
                Cell(f"{100 * accuracy:.1f} %", accuracy),
                Cell(f"{np.sum(~right[:count]):,}", int(np.sum(~right[:count]))),
            ]
        )
    header = [Column("answered", "more"), Column("confidence from")]
    header += [Column("right", "more"), Column("errors left", "less")]
    return Table("coverage", header, rows)


def _surest_first(labels, answers):
    """Confidence, and whether the answer is right, of all examples."""
    confidence = np.exp(answers.max(axis=1))
    order = np.argsort(-confidence, kind="stable")
    return confidence[order], np.equal(answers.argmax(axis=1), labels)[order]
