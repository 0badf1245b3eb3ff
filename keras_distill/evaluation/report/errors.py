"""What is wrong with a model, against the labels: classes, confusions, examples."""

import numpy as np

from keras_distill.evaluation.report import class_counts
from keras_distill.evaluation.report.cells import Cell
from keras_distill.evaluation.report.cells import Column
from keras_distill.evaluation.report.cells import Table
from keras_distill.evaluation.report.cells import word
from keras_distill.evaluation.report.examples import example_cell
from keras_distill.evaluation.report.examples import number_of
from keras_distill.evaluation.report.figures import without_empty
from keras_distill.evaluation.statistics import wilson
from keras_distill.evaluation.tasks.regression import Regression
from keras_distill.evaluation.tasks.tagging import Tagging

_NUM_CLASSES = 10
_NUM_CONFUSIONS = 10
_NUM_EXAMPLES = 20


def weakest_classes(comparison, name):
    """The `Table` of the classes that a model finds least often, and what it takes them for."""
    labels, names = comparison.task.labels, class_counts.class_names(comparison)
    counts = class_counts.pair_counts(comparison, labels, name)
    sizes = counts.sum(axis=1)
    found = np.diag(counts) / np.maximum(sizes, 1)
    # Among equal shares, the class with more examples is the more certain one.
    order = [place for place in np.lexsort((-sizes, found)) if sizes[place]][:_NUM_CLASSES]
    rows = []
    for place in order:
        low, high = wilson(counts[place, place], sizes[place])
        more = f"{100 * low:.0f}\u2013{100 * high:.0f}"
        share = Cell(f"{100 * found[place]:.1f} %", found[place], more)
        of_all = Cell(f"{counts[place, place]} of {sizes[place]}", int(sizes[place]))
        rows.append(
            [word(names[place]), share, of_all, word(_taken_for(counts[place], place, names))]
        )
    header = [Column("class"), Column("found", "more"), Column("right"), Column("taken for")]
    return Table("weakest classes", header, rows)


def confusions(comparison, name, others):
    """The `Table` of a model's most frequent confusions, and how often others make them."""
    labels, names = comparison.task.labels, class_counts.class_names(comparison)
    counts = class_counts.pair_counts(comparison, labels, name)
    beside = [class_counts.pair_counts(comparison, labels, other) for other in others]
    rows = []
    for label, said, count in class_counts.frequent(counts, _NUM_CONFUSIONS):
        share = f"{100 * count / counts[label].sum():.0f} % of the class"
        cells = [
            Cell(str(of_other[label, said]), int(of_other[label, said])) for of_other in beside
        ]
        rows.append([word(names[label]), word(names[said]), Cell(str(count), count, share), *cells])
    header = [Column("class"), Column("taken for"), Column(name, "less")]
    return Table("confusions", header + [Column(other, "less") for other in others], rows)


def surest_errors(comparison, name, others):
    """The `Table` of the examples on which a model is wrong and most sure; for numbers, most wrong.

    Args:
        comparison: A `Comparison` with labels.
        name: The model.
        others: Names of models whose answers stand beside.
    """
    is_number = isinstance(comparison.task, Regression)
    labels, answers = comparison.task.labels, comparison.answers[name]
    if is_number:
        size = np.abs(answers - labels)
    else:
        size = np.where(answers.argmax(axis=1) == labels, -np.inf, answers.max(axis=1))
    order = np.argsort(-size, kind="stable")[:_NUM_EXAMPLES]
    order = [place for place in order if size[place] > (0 if is_number else -np.inf)]
    rows = [_row(comparison, place, (name, *others), is_number) for place in order]
    header = [Column(n) for n in ("no.", "example", "label", name, *others)]
    table = Table("errors", header, rows, is_sortable=True)
    return without_empty(table)


def answer_cell(comparison, name, place, reference=None):
    """A model's answer: the class and its probability, or a number.

    Args:
        reference: The class that the cell is marked for unless it is the answer; None for none.
    """
    answer = comparison.answers[name][place]
    if isinstance(comparison.task, Regression):
        return Cell(f"{answer:.4g}", float(answer))
    best = answer.argmax()
    text = class_counts.class_names(comparison)[best]
    is_marked = reference is not None and bool(best != reference)
    return word(text, more=f"{np.exp(answer[best]):.2f}", is_marked=is_marked)


def _row(comparison, place, names, is_number):
    label = comparison.task.labels[place]
    if isinstance(comparison.task, Tagging):
        sentence, position = comparison.task.places[place]
        shown, number = example_cell(comparison, sentence, position), int(sentence)
    else:
        shown, number = example_cell(comparison, place), number_of(comparison, place)
    if is_number:
        label_cell, reference = Cell(f"{label:.4g}", float(label)), None
    else:
        label_cell, reference = word(class_counts.class_names(comparison)[label]), label
    answers = [answer_cell(comparison, name, place, reference) for name in names]
    return [Cell(str(number), number), shown, label_cell, *answers]


def _taken_for(counts, place, names):
    others = [p for p in np.argsort(-counts, kind="stable") if p != place and counts[p]]
    said = [f"{names[p]} {counts[p]}" for p in others[:3]]
    rest = sum(int(counts[p]) for p in others[3:])
    return ", ".join([*said, *([f"others {rest}"] if rest else [])])
