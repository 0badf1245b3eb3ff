"""The result of a comparison: figures to print, to write and to draw."""

import dataclasses
import json
import math
import pathlib
from typing import Any

from keras_distill._files.destination import check_destination
from keras_distill._files.destination import replaced_file
from keras_distill.evaluation import tables
from keras_distill.evaluation.costs import Cost
from keras_distill.evaluation.report import render


@dataclasses.dataclass(frozen=True)
class ModelFigures:
    """The measurements of one model.

    Args:
        kind: Kind of the model: "Keras", "TFLite", "SavedModel", "store" or "function".
        figures: Dict from `Measure` to `Figure`.
        differences: Dict from a measure's name to the `Difference` from the baseline.
        mcnemar: p value of McNemar's test against the baseline, or None.
        class_f1: F1 of each class, NaN for a class without labels and predictions; None unless
            the model classifies.
        cost: `Cost`.
    """

    kind: str
    figures: dict
    differences: dict
    mcnemar: float | None
    class_f1: Any
    cost: Cost

    def __getitem__(self, name):
        """The `Figure` of a measure, by its name."""
        return next(figure for measure, figure in self.figures.items() if measure.name == name)


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """The result of `compare`; as a str, a table.

    Args:
        task: The models' task, with the labels.
        models: Dict from name to `ModelFigures`.
        teacher, baseline: Names of two of the models, or None.
        num_examples: Number of examples that were compared.
        class_names: Names of the classes, or None.
        answers: Dict from name to the model's outputs: log probabilities `(examples, classes)`,
            numbers `(examples,)`, or for tags the log probabilities of all words.
        examples: The models' inputs.
        places: Indices of the examples with labels; None means all.
        histories: Dict from name to the result of `fit`.
        notes: Tuple of sentences about doubtful figures.

    Example:

    ```python
    comparison["distilled"]["accuracy"].value
    comparison["distilled"].differences["accuracy"].p_value
    ```
    """

    task: Any
    models: dict
    teacher: str | None
    baseline: str | None
    num_examples: int
    class_names: tuple | None
    answers: dict
    examples: Any
    places: Any
    histories: dict
    notes: tuple = ()

    def __getitem__(self, name):
        """The `ModelFigures` of a model, by its name."""
        return self.models[name]

    def __str__(self):
        return tables.as_text(self)

    def to_markdown(self):
        """The tables in Markdown."""
        return tables.as_markdown(self)

    def to_json(self):
        """All figures as JSON; missing figures are null."""
        return json.dumps(_without_nan(self._figures()), indent=2)

    def write_markdown(self, path):
        """Writes `to_markdown` to a file."""
        _write(path, self.to_markdown())

    def write_json(self, path):
        """Writes `to_json` to a file."""
        _write(path, self.to_json())

    def write_html(self, path, title="Comparison", card=None):
        """Writes one page with the answer in words, figures, charts and errors.

        The page needs no network and loads nothing. It contains examples of the data.

        Args:
            path: The file.
            title: Heading of the page.
            card: A `ModelCard` for the end of the page, as jobs write it, or None.

        Raises:
            ImportError: If Jinja2 or Matplotlib is not installed.
        """
        _write(path, render(self, title, card))

    def _figures(self):
        return {
            "task": self.task.name,
            "num_examples": self.num_examples,
            "teacher": self.teacher,
            "baseline": self.baseline,
            "notes": list(self.notes),
            "models": {name: self._model_figures(model) for name, model in self.models.items()},
        }

    def _model_figures(self, model):
        names = self.class_names
        per_class = {}
        if model.class_f1 is not None:
            names = range(len(model.class_f1)) if names is None else names
            per_class = {str(name): float(f1) for name, f1 in zip(names, model.class_f1)}
        return {
            "kind": model.kind,
            "figures": {m.name: dataclasses.asdict(f) for m, f in model.figures.items()},
            "differences": {n: dataclasses.asdict(d) for n, d in model.differences.items()},
            "mcnemar_p_value": model.mcnemar,
            "class_f1": per_class,
            "cost": dataclasses.asdict(model.cost),
        }


def _write(path, text):
    path = pathlib.Path(path)
    check_destination("path", path, "file")
    with replaced_file(path) as written:
        written.write_text(text + "\n", encoding="utf-8")


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    is_nan = isinstance(value, float) and not math.isfinite(value)
    return None if is_nan else value
