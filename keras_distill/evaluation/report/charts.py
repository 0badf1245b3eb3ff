"""Charts of a comparison as SVG, which follow the page's light or dark colours."""

import io
import re
import warnings

import numpy as np

from keras_distill._arguments.imports import import_module
from keras_distill._arguments.printable import printable

# Colour-blind people can distinguish these, on light and dark (Wong 2011, Nature Methods).
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999933")
# Markers distinguish models if there are more models than colours.
_MARKERS = ("o", "s", "^", "D")
# Colours that the page's style sheet replaces.
_INK, _FAINT = "#010203", "#040506"


_MAX_LETTERS = 24


def color(place):
    """The colour of the model with this index."""
    return _COLORS[place % len(_COLORS)]


def pareto(points, x_label, y_label):
    """Models by cost and quality; a line joins the Pareto-optimal ones.

    Args:
        points: List of `(name, place, x, y, low, high)`; low and high belong to y.
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
    # A legend is used because names at the points would overlap: a student and its files are close.
    _add_legend(axes, marks, [point[0] for point in points])
    return _svg(figure)


def reliability(models):
    """Reliability diagram: accuracy against confidence.

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
    """A confusion matrix of the teacher's and the student's classes, as a heat map.

    Args:
        counts: int `(classes, classes)`, with the teacher's classes as rows.
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
        label: Name of the logged value.
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
    # Matplotlib would read text between two dollar signs as a formula.
    return name.replace("$", r"\$")


def _add_legend(axes, marks, names):
    # Names are set later: Matplotlib leaves out labels that are empty or begin with "_".
    legend = axes.legend(marks, ["name"] * len(marks), frameon=False)
    for text, name in zip(legend.get_texts(), names):
        text.set_text(_short(name))


def _figure(width, height):
    # pyplot would keep its figures alive, and its backend may need a screen.
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
    # Texts stay texts, for search and screen readers; the salt makes the bytes reproducible.
    with (
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "keras_distill"}),
        warnings.catch_warnings(),
    ):
        # The warning is irrelevant: the browser's fonts have the letters that Matplotlib's lacks.
        warnings.filterwarnings("ignore", r"(?s)Glyph .* missing from")
        figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue()
    return re.sub(r'style="[^"]*"', _with_colors_of_the_page, svg[svg.index("<svg") :])


def _with_colors_of_the_page(style):
    return style[0].replace(_INK, "var(--ink)").replace(_FAINT, "var(--faint)")
