"""A comparison's figures as rows of text."""

import math
import re

from keras_distill._arguments.printable import printable

_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def figure_rows(comparison):
    """The main table, a column for each model: a list of rows of strings, the header first."""
    models = comparison.models.values()
    threads = sorted({count for model in models for count in model.cost.median_ms})
    rows = [["", *comparison.models]]
    for measure in dict.fromkeys(m.name for model in models for m in model.figures):
        found = [_find(model, measure) for model in models]
        rows.append([measure, *(show_value(*pair) if pair else "" for pair in found)])
    costs = [model.cost for model in models]
    rows += [
        ["parameters", *(show_count(cost.num_parameters) for cost in costs)],
        ["FLOPs", *(show_count(cost.num_flops) for cost in costs)],
        ["bytes", *(show_count(cost.num_bytes) for cost in costs)],
        ["bytes of memory", *(show_count(cost.memory_bytes) for cost in costs)],
    ]
    for count in threads:
        label = f"ms, {count} thread{'s' if count > 1 else ''}"
        rows.append([label, *(show_ms(cost.median_ms.get(count)) for cost in costs)])
        rows.append([f"{label}, p95", *(show_ms(cost.p95_ms.get(count)) for cost in costs)])
    return [row for row in rows if any(row[1:])]


def _find(model, name):
    return next(((m, figure) for m, figure in model.figures.items() if m.name == name), None)


def difference_rows(comparison, max_measures=None):
    """Rows of each model against the baseline, for its first measures or all; [] if none."""
    rows = []
    for name, model in comparison.models.items():
        measures = {m.name: m for m in model.figures}
        for measure, difference in list(model.differences.items())[:max_measures]:
            is_share = measures[measure].is_share
            low, high = (show_signed(v, is_share) for v in (difference.low, difference.high))
            mcnemar = show_p(model.mcnemar) if measure == "accuracy" else ""
            rows.append(
                [
                    name,
                    measure,
                    show_signed(difference.value, is_share),
                    f"{low} to {high}",
                    show_p(difference.p_value),
                    mcnemar,
                ]
            )
    if not rows:
        return []
    title = f"minus {comparison.baseline}"
    return [["model", "measure", title, "95 % interval", "p, bootstrap", "p, McNemar"], *rows]


def as_text(comparison):
    """The tables in columns, for a terminal; differences in the main measures only."""
    tables = [figure_rows(comparison), difference_rows(comparison, max_measures=2)]
    return "\n\n".join(
        [_summary(comparison), *map(_aligned, filter(None, tables)), *_notes(comparison)]
    )


def as_markdown(comparison):
    """The tables in Markdown."""
    tables = [figure_rows(comparison), difference_rows(comparison)]
    return "\n\n".join(
        [_summary(comparison), *map(_markdown, filter(None, tables)), *_notes(comparison)]
    )


def show_value(measure, figure):
    """A figure with its interval; shares in percent; "" for a figure that is undefined."""
    if math.isnan(figure.value):
        return ""
    scale, digits = (100, 2) if measure.is_share else (1, 3)
    value, low, high = (scale * v for v in (figure.value, figure.low, figure.high))
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def show_short(measure, value):
    """A figure without its interval; shares in percent with one digit behind the point."""
    if math.isnan(value):
        return ""
    return f"{100 * value:.1f} %" if measure.is_share else f"{value:.3g}"


def show_points(share):
    """A difference of shares in points, without its unit."""
    return f"{100 * share:.1f}"


def show_size(num_bytes):
    """A size such as "77 KB" or "0.77 MB", with 1,000 bytes in a KB; "" without one."""
    if num_bytes is None:
        return ""
    if num_bytes < 1000:
        return f"{num_bytes:.0f} bytes"
    if num_bytes < 100_000:
        return f"{num_bytes / 1e3:.2g} KB"
    if num_bytes < 1e9:
        return f"{num_bytes / 1e6:{'.2f' if num_bytes < 1e7 else '.3g'}} MB"
    return f"{num_bytes / 1e9:.3g} GB"


def show_signed(value, is_share):
    """A difference; a difference of shares is in percentage points."""
    return f"{100 * value:+.2f}" if is_share else f"{value:+.3f}"


def show_p(p_value):
    """A p value, or "" without one."""
    return "" if p_value is None else "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def show_count(number):
    """A number with three digits and its unit, such as "1.23 M", or "" without one."""
    if number is None:
        return ""
    for size, unit in _UNITS:
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def show_ms(milliseconds):
    """A time, or "" without one."""
    return "" if milliseconds is None else f"{milliseconds:.3g}"


def _summary(comparison):
    text = f"{comparison.num_examples:,} examples, {comparison.task.name}"
    return text + ". Shares in %, with 95 % intervals over the examples."


def _notes(comparison):
    return [f"Note: {printable(note)}" for note in comparison.notes]


def _aligned(rows):
    rows = [list(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _markdown(rows):
    header, *rest = rows
    lines = [header, ["---"] * len(header), *rest]
    # Names are escaped, so that they are not read as Markdown or HTML.
    escaped = ([re.sub(r"([\\`*\[\]<>|&])", r"\\\1", printable(c)) for c in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
