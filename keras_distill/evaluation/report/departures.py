"""Classes and examples in which students disagree with their teacher."""

import numpy as np

from keras_distill.evaluation.report import class_counts
from keras_distill.evaluation.report.cells import Cell
from keras_distill.evaluation.report.cells import Column
from keras_distill.evaluation.report.cells import Table
from keras_distill.evaluation.report.cells import word
from keras_distill.evaluation.report.errors import answer_cell
from keras_distill.evaluation.report.examples import example_cell
from keras_distill.evaluation.report.examples import number_of
from keras_distill.evaluation.report.figures import without_empty

_MAX_EXAMPLES = 100
_MAX_PAIRS = 12


def confusion(comparison, student):
    """int `(classes, classes)`: counts by the teacher's class (row) and the student's (column)."""
    said = comparison.answers[comparison.teacher].argmax(axis=1)
    return class_counts.pair_counts(comparison, said, student)


def pairs(comparison, student):
    """The `Table` of the pairs of classes in which teacher and student differ most often."""
    names = class_counts.class_names(comparison)
    found = class_counts.frequent(confusion(comparison, student), _MAX_PAIRS)
    rows = [[word(names[t]), word(names[s]), Cell(str(n), n)] for t, s, n in found]
    header = [Column(f"{comparison.teacher} says"), Column(f"{student} says"), Column("examples")]
    return Table(f"where {student} departs", header, rows)


def find(comparison, students):
    """The examples for which a student gives another class than the teacher.

    Args:
        comparison: A `Comparison` of classifiers with a teacher.
        students: Names of the students.

    Returns:
        Their number, and a `Table` of those with the largest divergence.
    """
    teacher = comparison.answers[comparison.teacher]
    said = teacher.argmax(axis=1)
    departs, divergence = np.zeros(len(said), bool), np.zeros(len(said))
    for name in students:
        student = comparison.answers[name]
        departs |= student.argmax(axis=1) != said
        divergence = np.maximum(divergence, np.sum(np.exp(teacher) * (teacher - student), axis=1))
    places = np.flatnonzero(departs)
    places = places[np.argsort(-divergence[places], kind="stable")]
    header = [Column(n) for n in ("no.", "example", "label", comparison.teacher, *students)]
    rows = [_row(comparison, students, place) for place in places[:_MAX_EXAMPLES]]
    table = Table("departures", header, rows, is_sortable=True, is_searchable=True)
    return len(places), without_empty(table)


def _row(comparison, students, place):
    labels = comparison.task.labels
    label = Cell("")
    if labels is not None:
        label = word(class_counts.class_names(comparison)[labels[place]])
    said = comparison.answers[comparison.teacher][place].argmax()
    number = number_of(comparison, place)
    answers = [answer_cell(comparison, n, place, said) for n in (comparison.teacher, *students)]
    return [Cell(str(number), number), example_cell(comparison, place), label, *answers]
