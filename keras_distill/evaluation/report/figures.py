"""The page's tables of figures: the five columns, all measures, the differences, the classes."""

import math

from keras_distill.evaluation import tables
from keras_distill.evaluation.answer import is_better
from keras_distill.evaluation.report.cells import Cell
from keras_distill.evaluation.report.cells import Column
from keras_distill.evaluation.report.cells import Table
from keras_distill.evaluation.report.cells import better
from keras_distill.evaluation.report.cells import word
from keras_distill.evaluation.report.charts import color
from keras_distill.evaluation.report.class_counts import class_counts
from keras_distill.evaluation.report.class_counts import class_names

_KINDS = {"TFLite": "TFLite file", "Keras": "Keras model"}


def models(comparison, answer, alike):
    """The `Table` of all models: the main measure, size, time, parameters and gain."""
    measure = answer.measure
    threads = fewest_threads(comparison)
    header = [Column("model")]
    if measure is not None:
        header.append(Column(measure.name, better(measure)))
    header += [Column("size", "less"), Column("ms", "less"), Column("parameters", "less")]
    if measure is not None and comparison.baseline is not None:
        header.append(Column("gain", better(measure)))
    rows = []
    for place, (name, model) in enumerate(comparison.models.items()):
        cost = model.cost
        same = comparison[alike[name][0]].cost if name in alike else cost
        parameters = same.num_parameters if cost.num_parameters is None else cost.num_parameters
        milliseconds = cost.median_ms.get(threads)
        kind, is_strong = _KINDS.get(model.kind, model.kind), name == answer.model
        row = [word(name, more=kind, color=color(place), is_strong=is_strong)]
        if measure is not None:
            row.append(figure_cell(measure, model))
        row.append(Cell(tables.show_size(cost.num_bytes), cost.num_bytes))
        row.append(Cell(_short_ms(milliseconds), milliseconds))
        row.append(Cell(tables.show_count(parameters), parameters))
        if len(header) > len(row):
            row.append(_gain(measure, model.differences.get(measure.name)))
        rows.append(row)
    return without_empty(Table("models", header, rows, is_sortable=True))


def fewest_threads(comparison):
    """The smallest number of threads that a model was timed on, or None."""
    counts = {count for model in comparison.models.values() for count in model.cost.median_ms}
    return min(counts, default=None)


def measures(comparison, names):
    """The `Table` of all measures, a column for each of these models, and the costs.

    The meaning of a measure is in its first cell.
    """
    chosen = [comparison[name] for name in names]
    rows = []
    for measure in dict.fromkeys(m for model in chosen for m in model.figures):
        arrow = "↑" if measure.is_higher_better else "↓"
        cells = [figure_cell(measure, model) for model in chosen]
        rows.append([word(f"{measure.name} {arrow}", more=measure.meaning), *cells])
    by_name = {row[0].text: row for row in rows}
    return Table("measures", _columns("measure", names), [*by_name.values(), *_costs(chosen)])


def differences(comparison, names):
    """The `Table` of these models against the baseline, or None."""
    rows = []
    for name in names:
        model = comparison[name]
        found = {measure.name: measure for measure in model.figures}
        for measure, difference in model.differences.items():
            p_value = difference.p_value
            if measure == "accuracy" and model.mcnemar is not None:
                p_value = model.mcnemar
            sign = is_better(found[measure], difference)
            said = {1: "better", 0: "not clear", -1: "worse"}[sign]
            cell = _gain(found[measure], difference)
            p_cell = Cell(tables.show_p(p_value), p_value)
            rows.append([word(name), word(measure), cell, word(said), p_cell])
    header = [Column(n) for n in ("model", "measure", f"minus {comparison.baseline}", "verdict")]
    return Table("differences", [*header, Column("p")], rows) if rows else None


def classes(comparison, names):
    """The `Table` of F1 by class for these models, or None."""
    f1 = {name: comparison[name].class_f1 for name in names}
    f1 = {name: values for name, values in f1.items() if values is not None}
    if not f1:
        return None
    counts, rows = class_counts(comparison), []
    for place, class_name in enumerate(class_names(comparison)):
        cells = [_percent(100 * float(values[place])) for values in f1.values()]
        rows.append([word(class_name), Cell(str(counts[place]), int(counts[place])), *cells])
    header = [Column("class"), Column("examples"), *(Column(name, "more") for name in f1)]
    return Table("F1 by class, in percent", header, rows, is_sortable=True, is_searchable=True)


def figure_cell(measure, model):
    """A model's figure with its interval below."""
    found = {m.name: figure for m, figure in model.figures.items()}
    figure = found.get(measure.name)
    if figure is None or math.isnan(figure.value):
        return Cell("")
    low, high = (_bound(measure, bound) for bound in (figure.low, figure.high))
    return Cell(tables.show_short(measure, figure.value), figure.value, f"{low}\u2013{high}")


def without_empty(table):
    """The table without columns that are empty."""
    used = [
        any(row[n].text or row[n].image for row in table.rows) for n in range(len(table.columns))
    ]

    def keep(parts):
        return [part for part, is_used in zip(parts, used) if is_used]

    rows = [keep(row) for row in table.rows]
    return Table(table.name, keep(table.columns), rows, table.is_sortable, table.is_searchable)


def _columns(first, names):
    return [Column(first), *map(Column, names)]


def _costs(chosen):
    """Rows of the costs that at least one of the models has."""
    costs = [model.cost for model in chosen]
    rows = [
        ("parameters ↓", "number of weights", [tables.show_count(c.num_parameters) for c in costs]),
        (
            "FLOPs ↓",
            "operations for one example, without a tokenizer's",
            [tables.show_count(c.num_flops) for c in costs],
        ),
        (
            "size ↓",
            "of the file or folder; of a Keras model, of its weights",
            [tables.show_size(c.num_bytes) for c in costs],
        ),
        (
            "memory ↓",
            "how much a process grows that loads and runs it",
            [tables.show_size(c.memory_bytes) for c in costs],
        ),
    ]
    for count in sorted({count for cost in costs for count in cost.median_ms}):
        times = [_time(cost, count) for cost in costs]
        meaning = "median time of one example on this machine's CPU; p95: 19 of 20 are faster"
        rows.append((f"ms, {count} thread{'s' if count > 1 else ''} ↓", meaning, times))
    shown = []
    for name, meaning, cells in rows:
        cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in cells]
        if any(cell.text for cell in cells):
            shown.append([word(name, more=meaning), *cells])
    return shown


def _time(cost, count):
    median, p95 = cost.median_ms.get(count), cost.p95_ms.get(count)
    return Cell(tables.show_ms(median), more="" if p95 is None else f"p95 {tables.show_ms(p95)}")


def _gain(measure, difference):
    if difference is None or math.isnan(difference.value):
        return Cell("")
    scale, form = (100, "+.1f") if measure.is_share else (1, "+.3g")
    value, low, high = (
        f"{scale * v:{form}}" for v in (difference.value, difference.low, difference.high)
    )
    return Cell(value, difference.value, f"{low} to {high}")


def _short_ms(value):
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def _bound(measure, value):
    if math.isnan(value):
        return "?"
    return f"{100 * value:.1f}" if measure.is_share else f"{value:.3g}"


def _percent(value):
    return Cell("") if math.isnan(value) else Cell(f"{value:.1f}", value)
