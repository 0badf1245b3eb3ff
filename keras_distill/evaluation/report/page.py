"""Renders a comparison as one HTML page."""

import importlib.resources
import math

from keras_distill._arguments.imports import import_module
from keras_distill._arguments.printable import printable_lines
from keras_distill._files.destination import check_destination
from keras_distill.evaluation import tables
from keras_distill.evaluation.report import charts
from keras_distill.evaluation.report import departures
from keras_distill.evaluation.tasks.classification import Classification


def check_page(name, path):
    """Raises unless the file can be written and the packages for the page are installed.

    Args:
        name: Name of the argument with the path.
        path: A `pathlib.Path`.
    """
    check_destination(name, path, "file")
    for package in ("jinja2", "markupsafe", "matplotlib"):
        import_module(package)


def render(comparison, title):
    """Returns the page as a str.

    Everything from the data (labels, texts and names) is escaped, including characters that
    UTF-8 cannot encode or that change the writing direction. The page has no external resources,
    and forbids the browser to fetch any.

    Args:
        comparison: A `Comparison`.
        title: The page's heading.
    """
    jinja2, markup = import_module("jinja2"), import_module("markupsafe").Markup

    def shown(value):
        is_text = isinstance(value, str) and not isinstance(value, markup)
        return printable_lines(value) if is_text else value

    environment = jinja2.Environment(
        autoescape=True,
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    files = importlib.resources.files(__package__)
    read = {name: (files / f"page.{name}").read_text("utf-8") for name in ("html", "css", "js")}
    return environment.from_string(read["html"]).render(
        title=title,
        style=markup(read["css"]),
        script=markup(read["js"]),
        comparison=comparison,
        colors=[charts.color(place) for place in range(len(comparison.models))],
        figures=_figures(comparison),
        differences=tables.difference_rows(comparison),
        charts=[(name, markup(svg)) for name, svg in _charts(comparison)],
        confusions=[
            (name, pairs, svg and markup(svg)) for name, pairs, svg in _confusions(comparison)
        ],
        classes=_classes(comparison),
        departures=departures.find(comparison),
    )


def _figures(comparison):
    """Rows of the main table, one for each model: cells of (text, value to sort by)."""
    models = comparison.models.values()
    measures = list(dict.fromkeys(m.name for model in models for m in model.figures))
    threads = sorted({count for model in models for count in model.cost.median_ms})
    header = ["model", "kind", *measures, "parameters", "FLOPs", "bytes", "memory"]
    header += [f"ms, {count} thread{'s' if count > 1 else ''}" for count in threads]
    rows = []
    for name, model in comparison.models.items():
        found = {m.name: (m, figure) for m, figure in model.figures.items()}
        cost = model.cost
        cells = [(name, name), (model.kind, model.kind)]
        for measure in measures:
            pair = found.get(measure)
            cells.append((tables.show_value(*pair), pair[1].value) if pair else ("", None))
        for number in (cost.num_parameters, cost.num_flops, cost.num_bytes, cost.memory_bytes):
            cells.append((tables.show_count(number), number))
        for count in threads:
            median, p95 = cost.median_ms.get(count), cost.p95_ms.get(count)
            text = "" if median is None else f"{tables.show_ms(median)} (p95 {tables.show_ms(p95)})"
            cells.append((text, median))
        rows.append(cells)
    is_used = [any(row[column][0] for row in rows) for column in range(len(header))]

    def keep(row):
        return [cell for cell, used in zip(row, is_used) if used]

    return keep(header), [keep(row) for row in rows]


def _charts(comparison):
    """List of (title, SVG)."""
    drawn = []
    places = {name: place for place, name in enumerate(comparison.models)}
    measure = _main_measure(comparison)
    if measure is not None:
        scale = 100 if measure.is_share else 1
        label = f"{measure.name}{' in %' if measure.is_share else ''}"
        costs = {
            "bytes": lambda cost: cost.num_bytes,
            "ms, 1 thread": lambda cost: cost.median_ms.get(1),
        }
        for cost_label, cost_of in costs.items():
            points = [
                (name, places[name], cost_of(model.cost), *_scaled(model[measure.name], scale))
                for name, model in comparison.models.items()
                if cost_of(model.cost)
            ]
            if len(points) > 1:
                svg = charts.pareto(points, cost_label, label)
                drawn.append((f"{measure.name} against {cost_label}", svg))
    if _has_classes(comparison) and comparison.task.labels is not None:
        bins = [
            (name, places[name], comparison.task.reliability(answers))
            for name, answers in comparison.answers.items()
        ]
        drawn.append(("reliability: is it as often right as it is sure?", charts.reliability(bins)))
    for key in _logged(comparison.histories):
        curves = [
            (name, places.get(name, len(places)), [float(v) for v in history.history[key]])
            for name, history in comparison.histories.items()
            if key in history.history
        ]
        drawn.append((f"learning curve: {key}", charts.learning_curves(curves, key)))
    return drawn


def _logged(histories):
    return list(dict.fromkeys(key for history in histories.values() for key in history.history))


def _main_measure(comparison):
    """The first measure that all models have and in which higher is better."""
    models = list(comparison.models.values())
    for measure in models[0].figures:
        is_common = all(any(m.name == measure.name for m in model.figures) for model in models)
        if is_common and measure.is_higher_better:
            return measure
    return None


def _scaled(figure, scale):
    return scale * figure.value, scale * figure.low, scale * figure.high


def _has_classes(comparison):
    return isinstance(comparison.task, Classification)


def _students(comparison):
    return [name for name in comparison.models if name != comparison.teacher]


def _confusions(comparison):
    """For each student: name, most frequent disagreements with the teacher, a heat map."""
    if comparison.teacher is None or not _has_classes(comparison):
        return []
    found = []
    for name in _students(comparison):
        counts = departures.confusion(comparison, name)
        names = departures.class_names(comparison)
        svg = None
        if len(names) <= 30:
            svg = charts.confusion(counts, names, comparison.teacher, name)
        found.append((name, departures.frequent(counts, names), svg))
    return found


def _classes(comparison):
    """Header and rows of F1 by class: cells of (text, value), the number of examples first."""
    models = {
        name: model for name, model in comparison.models.items() if model.class_f1 is not None
    }
    if not models:
        return None
    counts = departures.class_counts(comparison)
    others = [name for name in models if name != comparison.baseline]
    header = ["class", "examples", *models]
    if comparison.baseline in models:
        header += [f"{name} minus {comparison.baseline}" for name in others]
    rows = []
    for place, class_name in enumerate(departures.class_names(comparison)):
        f1 = {name: 100 * float(model.class_f1[place]) for name, model in models.items()}
        cells = [(class_name, class_name), (str(counts[place]), int(counts[place]))]
        cells += [_number(value, ".1f") for value in f1.values()]
        if comparison.baseline in models:
            cells += [_number(f1[name] - f1[comparison.baseline], "+.1f") for name in others]
        rows.append(cells)
    return header, rows


def _number(value, form):
    return ("", None) if math.isnan(value) else (f"{value:{form}}", value)
