"""The answer of a job in words, for a terminal of 80 columns."""

import shlex
import textwrap

from keras_distill._arguments.printable import printable
from keras_distill.evaluation.answer import is_better
from keras_distill.evaluation.answer import limits
from keras_distill.evaluation.answer import main_measure
from keras_distill.evaluation.tables import show_ms
from keras_distill.evaluation.tables import show_short
from keras_distill.evaluation.tables import show_size

_WIDTH, _INDENT = 80, 13


def in_words(comparison, files, *, unit, examples, page, notes=()):
    """Says what a job has made, how good it is, and what to do with it.

    Args:
        comparison: The job's `Comparison`, whose models are teacher, alone, distilled, phone and
            server.
        files: Dict of paths: phone, server, alone and report.
        unit: What an example is called, with its article, such as "a text".
        examples: Arguments for `keras-distill predict`, real ones; the first that fits is taken.
        page: The page that shows how to use the phone's file in an app.
        notes: More sentences; those of the comparison are said, too.

    Returns:
        A text. Its lines have at most 80 letters, unless a path or a command is longer.
    """
    measure = main_measure(comparison)
    rows = [
        _row("Phone file", files["phone"], _cost(comparison["phone"].cost, unit)),
        _row("Server file", f"{files['server']}, a SavedModel for TF Serving"),
        _row("Accuracy", *_accuracies(comparison, measure)),
        _row("Gain", *_gain(comparison, measure)),
        *_advice(comparison, measure, files["alone"]),
    ]
    if command := _command(files["phone"], examples):
        rows.append(_row("Try it", command))
    rows += [_row("In an app", page), _row("Report", files["report"])]
    said = dict.fromkeys([*limits(comparison, measure, "phone"), *comparison.notes])
    lines = dict.fromkeys([*notes, *(f"Note: {sentence}" for sentence in said)])
    return "\n".join([*rows, *map(wrapped, lines)])


def _accuracies(comparison, measure):
    phone, teacher, alone = (
        show_short(measure, comparison[name][measure.name].value)
        for name in ("phone", "teacher", "alone")
    )
    return phone, f"teacher {teacher}, the same student alone {alone}"


def _gain(comparison, measure):
    difference = comparison["phone"].differences[measure.name]
    value, low, high = (100 * v for v in (difference.value, difference.low, difference.high))
    return (
        f"{_number(value, '+')} points",
        f"(95 % interval {_number(low)} to {_number(high)}; one training run)",
    )


def _number(points, sign=""):
    # Adding 0 turns -0.0 into 0.0.
    return f"{round(points, 1) + 0.0:{sign}.1f}"


def _advice(comparison, measure, alone):
    """Rows that say what to ship if the interval shows no gain."""
    better = is_better(measure, comparison["phone"].differences[measure.name])
    if better > 0:
        return ()
    found = (
        "no gain: it is better without the teacher"
        if better < 0
        else "no clear gain: the interval includes 0"
    )
    return _row("Ship", f"the student alone: {alone}"), _row("Why", found)


def _cost(cost, unit):
    speed = [f"{show_ms(float(f'{ms:.2g}'))} ms {unit}" for ms in [*cost.median_ms.values()][:1]]
    return ", ".join([show_size(cost.num_bytes), *speed])


def _command(path, examples):
    """A command that can be pasted, with the first example that fits, else with the shortest."""
    commands = [
        f"keras-distill predict {shlex.quote(str(path))} {shlex.quote(example)}"
        for example in examples
        # Others would be options, or would not survive a terminal.
        if example.strip() and not example.startswith("-") and example == printable(example)
    ]
    fitting = [command for command in commands if len(command) + _INDENT <= _WIDTH]
    return next(iter(fitting), min(commands, key=len, default=None))


def _row(title, *parts):
    """A line, or several if it would be too long."""
    parts = [printable(part) for part in parts if part]
    line = f"{title:<{_INDENT}}{'   '.join(parts)}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join(
        f"{name:<{_INDENT}}{part}" for name, part in zip([title, *[""] * len(parts)], parts)
    )


def wrapped(sentence):
    """A sentence in lines of at most 80 letters."""
    return textwrap.fill(printable(sentence), _WIDTH, break_long_words=False)
