"""Renders a comparison as one HTML page."""

import importlib.resources

import numpy as np

from keras_distill._arguments.imports import import_module
from keras_distill._arguments.printable import printable_lines
from keras_distill._files.destination import check_destination
from keras_distill.evaluation import answer
from keras_distill.evaluation import tables
from keras_distill.evaluation.report import charts
from keras_distill.evaluation.report import class_counts
from keras_distill.evaluation.report import confidence
from keras_distill.evaluation.report import curves
from keras_distill.evaluation.report import departures
from keras_distill.evaluation.report import errors
from keras_distill.evaluation.report import figures
from keras_distill.evaluation.tasks.classification import Classification
from keras_distill.evaluation.tasks.regression import Regression
from keras_distill.evaluation.tasks.tagging import Tagging

# A heat map of more classes could not be read.
_MAX_CLASSES = 30


def check_page(name, path):
    """Raises unless the file can be written and the packages for the page are installed.

    Args:
        name: Name of the argument with the path.
        path: A `pathlib.Path`.
    """
    check_destination(name, path, "file")
    for package in ("jinja2", "markupsafe", "matplotlib"):
        import_module(package)


def render(comparison, title, card=None):
    """Returns the page as a str.

    Everything from the data (labels, texts and names) is escaped, including characters that
    UTF-8 cannot encode or that change the writing direction. The page has no external resources,
    and forbids the browser to fetch any.

    Args:
        comparison: A `Comparison`.
        title: The page's heading.
        card: A `ModelCard` for the end of the page, or None.
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
    page = _Page(comparison, markup)
    return environment.from_string(read["html"]).render(
        title=title,
        style=markup(read["css"]),
        script=markup(read["js"]),
        comparison=comparison,
        card=card,
        page=page,
    )


class _Page:
    """The parts of the page; what a comparison lacks is None or empty."""

    def __init__(self, comparison, markup):
        self._comparison, self._markup = comparison, markup
        self._places = {name: place for place, name in enumerate(comparison.models)}
        self.answer = answer.answer_of(comparison)
        self.noun = answer.noun(comparison)
        # What gets a class each.
        self.unit = "words" if isinstance(comparison.task, Tagging) else self.noun
        self.alike = answer.files_like_models(comparison)
        self.names = [name for name in comparison.models if name not in self.alike]
        # In tables of answers, the file that ships is shown as the model that it was made of.
        shipped = self.answer.model
        self.model = self.alike[shipped][0] if shipped in self.alike else shipped
        self.called = answer.called(self.model)
        self.has_labels = comparison.task.labels is not None
        self.has_classes = not isinstance(comparison.task, Regression)
        self.has_one_class_each = isinstance(comparison.task, Classification)

    def said_of_files(self):
        """Sentences about the files that tables of answers leave out; "" without any."""
        found = []
        for name, (other, share) in self.alike.items():
            if share is None:
                found.append(f"{name} answers like {other}.")
            else:
                part = "all" if share == 1 else f"{min(99.9, 100 * share):.1f} % of the"
                found.append(f"{name} gives the same class as {other} for {part} {self.unit}.")
        left_out = "it" if len(found) == 1 else "them"
        return " ".join([*found, f"Tables of answers leave {left_out} out."]) if found else ""

    def models(self):
        return figures.models(self._comparison, self.answer, self.alike)

    def threads(self):
        return figures.fewest_threads(self._comparison)

    def all_are_timed(self):
        return all(model.cost.median_ms for model in self._comparison.models.values())

    def charts(self):
        """Charts of the main measure against size and time."""
        comparison, measure = self._comparison, self.answer.measure
        if measure is None:
            return []
        scale = 100 if measure.is_share else 1
        threads = self.threads()
        costs = {
            "size": (lambda cost: cost.num_bytes, _round_size),
            "ms": (lambda cost: cost.median_ms.get(threads), tables.show_ms),
        }
        bounds = {}
        for name, model in comparison.models.items():
            found = {m.name: figure for m, figure in model.figures.items()}
            if figure := found.get(measure.name):
                bounds[name] = [scale * v for v in (figure.value, figure.low, figure.high)]
        y_range = np.nanmin(list(bounds.values())), np.nanmax(list(bounds.values()))
        drawn = []
        for name, (cost_of, show) in costs.items():
            points = [
                (model, self._places[model], cost_of(comparison[model].cost), *of_model)
                for model, of_model in bounds.items()
                if cost_of(comparison[model].cost)
            ]
            if len(points) > 1:
                unit = f"{measure.name} in %" if measure.is_share else measure.name
                label = {"size": "size", "ms": "time in ms"}[name]
                svg = charts.pareto(
                    points,
                    label,
                    unit,
                    show_x=show,
                    y_range=y_range,
                    is_percent=measure.is_share,
                    is_higher_better=measure.is_higher_better,
                )
                drawn.append((f"{measure.name} against {label}", self._markup(svg)))
        return drawn

    def errors(self):
        """Tables of what is wrong with the model, and a chart for numbers."""
        comparison, others = self._comparison, self._beside()
        if not self.has_labels:
            return None
        surest = errors.surest_errors(comparison, self.model, others)
        if self.has_classes:
            weakest = errors.weakest_classes(comparison, self.model)
            confusions = errors.confusions(comparison, self.model, others)
            return {"surest": surest, "weakest": weakest, "confusions": confusions}
        answers = [(n, self._places[n], comparison.answers[n]) for n in (self.model, *others)]
        chart = self._markup(charts.numbers(comparison.task.labels, answers))
        return {"surest": surest, "chart": chart}

    def confidence(self):
        """Charts and the table of coverage, or None for tasks without classes or labels."""
        comparison, labels = self._comparison, self._comparison.task.labels
        if not (self.has_labels and self.has_classes):
            return None
        curve = [
            (name, self._places[name], confidence.curve(labels, comparison.answers[name]))
            for name in self.names
        ]
        drawn = [("accuracy by coverage", charts.coverage(curve))]
        if self.has_one_class_each:
            bins = [
                (name, self._places[name], comparison.task.reliability(comparison.answers[name]))
                for name in self.names
            ]
            drawn.append(("accuracy by confidence (reliability)", charts.reliability(bins)))
        table = confidence.coverage(labels, comparison.answers[self.model])
        return [(name, self._markup(svg)) for name, svg in drawn], table

    def departures(self):
        """The number and table of examples, and for each student a table and a heat map."""
        comparison = self._comparison
        students = [name for name in self.names if name != comparison.teacher]
        # The student that the page is about comes first, the baseline last.
        students.sort(key=lambda name: (name == comparison.baseline, name != self.model))
        if comparison.teacher is None or not self.has_one_class_each or not students:
            return None
        number, table = departures.find(comparison, students)
        by_student = []
        for name in students:
            counts = departures.confusion(comparison, name)
            svg = None
            if len(counts) <= _MAX_CLASSES:
                classes = class_counts.class_names(comparison)
                svg = charts.confusion(counts, classes, comparison.teacher, name)
                svg = self._markup(svg)
            by_student.append((name, departures.pairs(comparison, name), svg))
        return {"number": number, "table": table, "students": by_student}

    def measures(self):
        return figures.measures(self._comparison, self.names)

    def differences(self):
        return figures.differences(self._comparison, self.names)

    def classes(self):
        return figures.classes(self._comparison, self.names)

    def curves(self):
        drawn = curves.draw(self._comparison.histories, self._places)
        return [(name, self._markup(svg)) for name, svg in drawn]

    def _beside(self):
        """Teacher and baseline, whose answers stand beside the model's."""
        named = (self._comparison.teacher, self._comparison.baseline)
        return [name for name in named if name not in (None, self.model)]


def _round_size(num_bytes):
    number, unit = tables.show_size(num_bytes).split(" ")
    return f"{float(number):g} {unit}"
