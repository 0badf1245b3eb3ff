"""Charts of a comparison, as SVG that takes the page's colours, light or dark."""

import io
import re
import warnings

import numpy as np

from keras_distill._arguments.imports import import_module
from keras_distill._arguments.printable import printable

# Told apart by people who see few colours, on light and on dark (Wong 2011, Nature Methods).
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999933")
# For more models than colours.
_MARKERS = ("o", "s", "^", "D")
# Colours that the page's style sheet replaces.
_INK, _FAINT = "#010203", "#040506"


_MAX_LETTERS = 24


def color(place):
    """The colour of the model at this place."""
    return _COLORS[place % len(_COLORS)]


def pareto(points, x_label, y_label):
    """Models by cost and quality; a line joins those that no other beats in both.

    Args:
        points: List of `(name, place, x, y, low, high)`; low and high are of y.
        x_label, y_label: Titles of the axes; x is logarithmic.

    Returns:
        SVG, a str.
    """
    figure, axes = _figure(5.2, 3.6)
    marks = []
    for _, place, x, y, low, high in points:
        spread = np.array([[max(0.0, y - low)], [max(0.0, high - y)]])
        marker = _MARKERS[place // len(_COLORS) % len(_MARKERS)]
        marks.append(
            axes.errorbar(
                x, y, yerr=spread, fmt=marker, color=color(place), capsize=3, markersize=7
            )
        )
    best, front = -np.inf, []
    for point in sorted(points, key=lambda point: (point[2], -point[3])):
        if point[3] > best:
            front.append(point[2:4])
            best = point[3]
    axes.plot(*zip(*front), color=_FAINT, linestyle="--", zorder=0)
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.15)
    axes.set_xlabel(_short(x_label))
    axes.set_ylabel(_short(y_label))
    # Names beside the points would cover each other: a student and its files are alike.
    _add_legend(axes, marks, [point[0] for point in points])
    return _svg(figure)


def reliability(models):
    """How often a model is right against how sure it is.

    Args:
        models: List of `(name, place, (confidence, accuracy, count))`.
    """
    figure, axes = _figure(4.8, 4.4)
    axes.plot([0, 1], [0, 1], color=_FAINT, linestyle="--")
    lines = []
    for _, place, (confidence, accuracy, count) in models:
        sizes = 12 + 160 * count / count.sum()
        lines += axes.plot(confidence, accuracy, color=color(place))
        axes.scatter(confidence, accuracy, s=sizes, color=color(place))
    axes.set_xlabel("confidence")
    axes.set_ylabel("share that is right")
    _add_legend(axes, lines, [name for name, *_ in models])
    return _svg(figure)


def confusion(counts, names, teacher, student):
    """A heat map of what the student says where the teacher says something.

    Args:
        counts: int `(classes, classes)`, the teacher's by row.
        names: Names of the classes.
        teacher, student: Names of the models.
    """
    names = [_short(name) for name in names]
    size = 2.2 + 0.32 * len(names)
    figure, axes = _figure(size + 0.8, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    if len(names) <= 12:
        for row, column in np.ndindex(*counts.shape):
            ink = "white" if shares[row, column] > 0.5 else "#08306b"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=ink)
    axes.grid(visible=False)
    axes.set_ylabel(_short(teacher))
    axes.set_xlabel(_short(student))
    return _svg(figure)


def learning_curves(curves, label):
    """A logged value by epoch.

    Args:
        curves: List of `(name, place, values)`.
        label: What is logged.
    """
    figure, axes = _figure(4.8, 3.2)
    lines = []
    for _, place, values in curves:
        lines += axes.plot(range(1, len(values) + 1), values, color=color(place), marker=".")
    axes.set_xlabel("epoch")
    axes.set_ylabel(_short(label))
    _add_legend(axes, lines, [name for name, *_ in curves])
    return _svg(figure)


def _short(name):
    name = printable(name)
    name = name if len(name) <= _MAX_LETTERS else f"{name[: _MAX_LETTERS - 1]}…"
    # Matplotlib reads what is between two dollar signs as a formula.
    return name.replace("$", r"\$")


def _add_legend(axes, marks, names):
    # Matplotlib leaves out whatever has a label that is empty or begins with "_".
    legend = axes.legend(marks, ["name"] * len(marks), frameon=False)
    for text, name in zip(legend.get_texts(), names):
        text.set_text(_short(name))


def _figure(width, height):
    # Not pyplot, whose figures live on and whose backend may want a screen.
    figure = import_module("matplotlib.figure").Figure(
        figsize=(width, height), layout="constrained"
    )
    axes = figure.subplots()
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    axes.grid(color=_FAINT, alpha=0.35, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure):
    matplotlib = import_module("matplotlib")
    for axes in figure.axes:
        axes.xaxis.label.set_color(_INK)
        axes.yaxis.label.set_color(_INK)
        axes.tick_params(which="both", colors=_INK)
        for spine in axes.spines.values():
            spine.set_edgecolor(_FAINT)
        if axes.get_legend() is not None:
            for text in axes.get_legend().get_texts():
                text.set_color(_INK)
    file = io.StringIO()
    # Texts stay texts, to be found and read aloud; the same chart has the same bytes.
    with (
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "keras_distill"}),
        warnings.catch_warnings(),
    ):
        # The browser has the letters that Matplotlib's font lacks.
        warnings.filterwarnings("ignore", r"(?s)Glyph .* missing from")
        figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue()
    return re.sub(r'style="[^"]*"', _with_colors_of_the_page, svg[svg.index("<svg") :])


def _with_colors_of_the_page(style):
    return style[0].replace(_INK, "var(--ink)").replace(_FAINT, "var(--faint)")
