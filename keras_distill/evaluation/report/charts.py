"""Charts of a comparison as SVG, which follow the page's light or dark colours."""

import io
import re
import unicodedata
import warnings

import numpy as np

from keras_distill._arguments.imports import import_module
from keras_distill._arguments.printable import printable

# Colour-blind people can distinguish these, on light and dark (Wong 2011, Nature Methods).
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999933")
# Markers distinguish models if there are more models than colours.
_MARKERS = ("o", "s", "^", "D")
# Colours that the page's style sheet replaces.
_INK, _FAINT, _PAPER = "#010203", "#040506", "#070809"

_MAX_LETTERS = 24
_FONT_SIZE = 9
# Where a name may stand beside its point, in points of the page, the best place first.
_PLACES_OF_NAMES = (
    *((9, 0, "left"), (-9, 0, "right"), (9, 12, "left"), (9, -12, "left"), (-9, 12, "right")),
    *((-9, -12, "right"), (9, 24, "left"), (9, -24, "left"), (-9, 24, "right"), (-9, -24, "right")),
)


def color(place):
    """The colour of the model with this index."""
    return _COLORS[place % len(_COLORS)]


def pareto(points, x_label, y_label, *, show_x, y_range, is_percent, is_higher_better):
    """Models by cost and quality; a line joins those that no other beats in both.

    Args:
        points: List of `(name, place, x, y, low, high)`; low and high belong to y.
        x_label, y_label: Titles of the axes; x is logarithmic.
        show_x: Function from a value of x to its text.
        y_range: The lowest and the highest y of this chart and of those beside it.
        is_percent: Whether y is in percent, so that its axis ends at 0 and 100.
        is_higher_better: Whether a higher y is better.

    Returns:
        SVG, a str.
    """
    figure, axes = _figure(4.7, 2.9)
    for _, place, x, y, low, high in points:
        spread = np.array([[max(0.0, y - low)], [max(0.0, high - y)]])
        marker = _MARKERS[place // len(_COLORS) % len(_MARKERS)]
        # A point at 100 % is not cut at the axis.
        style = {"color": color(place), "capsize": 3, "markersize": 7, "clip_on": False}
        axes.errorbar(x, y, yerr=spread, fmt=marker, **style)
    sign = 1 if is_higher_better else -1
    best, front = -np.inf, []
    for point in sorted(points, key=lambda point: (point[2], -sign * point[3])):
        if sign * point[3] > best:
            front.append(point[2:4])
            best = sign * point[3]
    axes.plot(*zip(*front), color=_FAINT, linestyle="--", zorder=0)
    axes.margins(x=0.2)
    room = 0.15 * (y_range[1] - y_range[0])
    if room:
        axes.set_ylim(y_range[0] - room, y_range[1] + room)
    _set_log_axis(axes.xaxis, [point[2] for point in points], show_x)
    axes.set_xlabel(_short(x_label))
    axes.set_ylabel(_short(y_label))
    if is_percent:
        _end_at_100(axes)
    _add_names(figure, axes, points)
    return _svg(figure)


def reliability(models):
    """Reliability diagram: accuracy against confidence.

    Args:
        models: List of `(name, place, (confidence, accuracy, count))`.
    """
    figure, axes = _figure(4.7, 3.6)
    axes.plot([0, 100], [0, 100], color=_FAINT, linestyle="--")
    lines = []
    for _, place, (confidence, accuracy, count) in models:
        sizes = 12 + 160 * count / count.sum()
        lines += axes.plot(100 * confidence, 100 * accuracy, color=color(place))
        axes.scatter(100 * confidence, 100 * accuracy, s=sizes, color=color(place), clip_on=False)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_xlabel("confidence in %")
    axes.set_ylabel("right answers in %")
    _add_legend(axes, lines, [name for name, *_ in models])
    return _svg(figure)


def coverage(models):
    """The accuracy on the share of examples on which a model is most sure.

    Args:
        models: List of `(name, place, (coverage, accuracy))`, shares.
    """
    figure, axes = _figure(4.7, 3.6)
    lines = []
    for _, place, (covered, accuracy) in models:
        lines += axes.plot(100 * covered, 100 * accuracy, color=color(place))
    axes.set_xlim(0, 100)
    _end_at_100(axes)
    axes.set_xlabel("answered, the surest first, in %")
    axes.set_ylabel("right answers in %")
    _add_legend(axes, lines, [name for name, *_ in models])
    return _svg(figure)


def numbers(labels, models):
    """The answers of models that predict a number, against the labels.

    Args:
        labels: float `(examples,)`.
        models: List of `(name, place, answers)`.
    """
    figure, axes = _figure(4.7, 3.6)
    marks = []
    for _, place, answers in models:
        marks += axes.plot(labels, answers, ".", alpha=0.5, color=color(place), markersize=4)
    ends = [np.min(labels), np.max(labels)]
    axes.plot(ends, ends, color=_FAINT, linestyle="--", zorder=0)
    axes.set_xlabel("label")
    axes.set_ylabel("answer")
    _add_legend(axes, marks, [name for name, *_ in models])
    return _svg(figure)


def confusion(counts, names, row_label, column_label):
    """A confusion matrix as a heat map.

    Args:
        counts: int `(classes, classes)`.
        names: Names of the classes.
        row_label, column_label: Whose classes the rows and the columns are.
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
    axes.set_ylabel(_short(row_label))
    axes.set_xlabel(_short(column_label))
    return _svg(figure)


def learning_curves(curves, label, *, is_percent=False):
    """Logged values by epoch.

    Args:
        curves: List of `(name, place, values)`.
        label: Title of the axis.
        is_percent: Whether the values are in percent.
    """
    figure, axes = _figure(4.7, 2.9)
    lines = []
    for _, place, values in curves:
        lines += axes.plot(range(1, len(values) + 1), values, color=color(place), marker=".")
    if is_percent:
        _end_at_100(axes)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("round")
    axes.set_ylabel(_short(label))
    _add_legend(axes, lines, [name for name, *_ in curves])
    return _svg(figure)


def _end_at_100(axes):
    """A share is never below 0 or above 100, though a margin would show that there is room."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(0, low), min(100, high))


def _set_log_axis(axis, values, show):
    ticker = import_module("matplotlib.ticker")
    decades = np.log10(max(values) / min(values))
    steps = (1, 2, 5) if decades < 1.3 else (1, 3) if decades < 2.5 else (1,)
    axis.axes.set_xscale("log")
    axis.set_major_locator(ticker.LogLocator(subs=steps))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: show(value)))
    axis.set_minor_locator(ticker.NullLocator())


def _add_names(figure, axes, points):
    """Writes each name beside its point, where no other name, point or interval is."""
    figure.draw_without_rendering()
    scale = figure.dpi / 72

    def on_page(x, y):
        return axes.transData.transform((x, y)) / scale

    frame = axes.get_window_extent()
    left, right = frame.x0 / scale, frame.x1 / scale
    taken = []
    for _, _, x, y, low, high in points:
        (across, up), (_, bottom), (_, top) = on_page(x, y), on_page(x, low), on_page(x, high)
        taken.append((across - 5, up - 5, across + 5, up + 5))
        taken.append((across - 3, bottom - 1, across + 3, top + 1))
    for name, _, x, y, *_ in points:
        across, up = on_page(x, y)
        width, height = 0.6 * _FONT_SIZE * _width(_short(name)), 1.2 * _FONT_SIZE
        best = None
        for shift_x, shift_y, align in _PLACES_OF_NAMES:
            start = across + shift_x - (width if align == "right" else 0)
            bottom = up + shift_y - height / 2
            box = (start, bottom, start + width, bottom + height)
            outside = max(0, left - box[0]) + max(0, box[2] - right)
            overlap = outside * height + sum(_overlap(box, other) for other in taken)
            if best is None or overlap < best[0] - 1e-6:
                best = overlap, box, (shift_x, shift_y), align
        _, box, shift, align = best
        taken.append(box)
        text = axes.annotate(
            "name",
            (x, y),
            xytext=shift,
            textcoords="offset points",
            ha=align,
            va="center",
            color=_INK,
            fontsize=_FONT_SIZE,
            # Lines behind the name would make it hard to read.
            bbox={"facecolor": _PAPER, "edgecolor": "none", "pad": 0.5},
        )
        text.set_text(_short(name))


def _overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)


def _width(text):
    """Number of letters, of which those of East Asia count twice."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "FW") for letter in text)


def _short(name):
    name = printable(name)
    name = name if len(name) <= _MAX_LETTERS else f"{name[: _MAX_LETTERS - 1]}…"
    # Matplotlib would read text between two dollar signs as a formula.
    return name.replace("$", r"\$")


def _add_legend(axes, marks, names):
    # Names are set later: Matplotlib leaves out labels that are empty or begin with "_".
    legend = axes.legend(marks, ["name"] * len(marks), frameon=False, fontsize=_FONT_SIZE)
    for text, name in zip(legend.get_texts(), names):
        text.set_text(_short(name))


def _figure(width, height):
    # pyplot would keep its figures alive, and its backend may need a screen.
    figure = import_module("matplotlib.figure").Figure(
        figsize=(width, height), layout="constrained"
    )
    axes = figure.subplots()
    axes.tick_params(labelsize=_FONT_SIZE)
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
    return (
        style[0]
        .replace(_INK, "var(--ink)")
        .replace(_FAINT, "var(--faint)")
        .replace(_PAPER, "var(--paper)")
    )
