"""The answer of a comparison in words: which model to ship, and what the test cannot show."""

import dataclasses

import keras
import numpy as np

from keras_distill.evaluation.statistics import smallest_visible
from keras_distill.evaluation.tables import show_points
from keras_distill.evaluation.tables import show_short
from keras_distill.evaluation.tasks.regression import Regression
from keras_distill.evaluation.tasks.tagging import Tagging

_FILES = ("TFLite", "SavedModel")
# What the names of a job's models stand for, in prose.
_CALLED = {
    "teacher": "the teacher",
    "alone": "the student trained alone",
    "distilled": "the distilled student",
    "phone": "the phone file",
    "server": "the server's model",
}
_FEW_EXAMPLES = 300
# Share of equal classes from which a file is not shown beside the model that it was made of.
_SAME = 0.99


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a comparison says, in sentences.

    Args:
        model: Name of the model that the answer is about.
        measure: The `Measure` that it is judged by, or None without any figure.
        headline: A sentence or two.
        sentences: Tuple of further sentences: the interval, the teacher, the limits of the test.
    """

    model: str
    measure: object
    headline: str
    sentences: tuple


def answer_of(comparison):
    """The `Answer` of a `Comparison`.

    It is about the best .tflite file, or else about the best model that is neither teacher nor
    baseline.
    """
    measure = main_measure(comparison)
    model = _shipped(comparison, measure)
    if measure is None:
        return Answer(model, None, f"{len(comparison.models)} models, without labels.", ())
    sentences = [
        *_said_of_gain(comparison, measure, model),
        *_said_of_teacher(comparison, model),
        *limits(comparison, measure, model),
    ]
    return Answer(model, measure, _headline(comparison, measure, model), tuple(sentences))


def called(name):
    """A model's name within a sentence."""
    return _CALLED.get(name, name)


def main_measure(comparison):
    """The first measure of the models, such as accuracy; without labels, of the students."""
    models = [model for model in comparison.models.values() if model.figures]
    for measure in models[0].figures if models else ():
        if all(any(m.name == measure.name for m in model.figures) for model in models):
            return measure
    return None


def noun(comparison):
    """What the examples are called: texts, sentences, images or examples."""
    column = keras.tree.flatten(comparison.examples)[0]
    if column.is_text:
        return "sentences" if isinstance(comparison.task, Tagging) else "texts"
    shape = column.take(np.array([0]))[0].shape
    return "images" if len(shape) == 3 and shape[-1] in (1, 3) else "examples"


def files_like_models(comparison):
    """The files that answer like another model, so that tables need not show them again.

    Returns:
        Dict from the name of a file to the name of the other model and a share: of the examples
        (words for tags) with the same class; None for numbers.
    """
    found = {}
    special = (comparison.teacher, comparison.baseline)
    others = [n for n, m in comparison.models.items() if m.kind not in _FILES]
    # A file that answers like two of them was rather made of a student.
    others.sort(key=lambda name: name in special)
    for name, model in comparison.models.items():
        if model.kind not in _FILES or name in special:
            continue
        likeness = {other: _likeness(comparison, name, other) for other in others}
        likeness = {other: share for other, share in likeness.items() if share >= _SAME}
        if likeness:
            other = max(likeness, key=likeness.get)
            is_number = isinstance(comparison.task, Regression)
            found[name] = other, None if is_number else likeness[other]
    return found


def limits(comparison, measure, model):
    """Tuple of at most one sentence: which differences so few examples cannot show."""
    other = comparison.teacher if comparison.baseline in (None, model) else comparison.baseline
    size = comparison.num_examples
    if size >= _FEW_EXAMPLES or other in (None, model):
        return ()
    if measure.is_right is not None:
        one, another = (_measure(comparison, name, measure.name) for name in (model, other))
        if another is None:
            return ()
        visible = smallest_visible(np.sum(one.is_right != another.is_right), size)
    elif measure.name in comparison[model].differences:
        difference = comparison[model].differences[measure.name]
        visible = (difference.high - difference.low) / 2
    else:
        return ()
    amount = f"{show_points(visible)} points" if measure.is_share else f"{visible:.3g}"
    return (f"{size} test {noun(comparison)} are few: differences under {amount} cannot be seen.",)


def is_better(measure, difference):
    """1 if the interval of a difference shows that it is better, -1 for worse, else 0."""
    low, high = difference.low, difference.high
    if not measure.is_higher_better:
        low, high = -high, -low
    return int(low > 0) - int(high < 0)


def _shipped(comparison, measure):
    special = {comparison.teacher, comparison.baseline}
    names = [name for name in comparison.models if name not in special]
    names = names or [n for n in comparison.models if n != comparison.teacher]
    names = names or list(comparison.models)
    names = [name for name in names if comparison[name].kind == "TFLite"] or names
    if measure is None or len(names) == 1:
        return names[0]
    sign = 1 if measure.is_higher_better else -1
    return max(names, key=lambda name: sign * comparison[name][measure.name].value)


def _measure(comparison, name, measure):
    return next((m for m in comparison[name].figures if m.name == measure), None)


def _headline(comparison, measure, model):
    size, baseline = f"{comparison.num_examples:,} test {noun(comparison)}", comparison.baseline
    difference = comparison[model].differences.get(measure.name)
    if difference is None:
        text = _capital(
            f"{_with_kind(comparison, model)} {_scored(comparison, measure, model, size)}"
        )
        teacher = comparison.teacher
        if teacher in (None, model) or not _has(comparison, teacher, measure):
            return f"{text}."
        return f"{text}; {called(teacher)}: {_value(comparison, measure, teacher)}."
    better = is_better(measure, difference)
    by = _amount(measure, abs(difference.value))
    if better > 0:
        return (
            f"Ship {_with_kind(comparison, model)}. It "
            f"{_scored(comparison, measure, model, size)}: "
            f"{by} {_direction(difference.value)} than {called(baseline)}."
        )
    if better < 0:
        return (
            f"Ship {called(baseline)}. It {_scored(comparison, measure, baseline, size)}: "
            f"{by} {_direction(-difference.value)} than {_with_kind(comparison, model)}."
        )
    return (
        f"No clear gain: ship {called(baseline)}, or test on more. "
        f"{_capital(_with_kind(comparison, model))} {_scored(comparison, measure, model, size)}; "
        f"{called(baseline)}: {_value(comparison, measure, baseline)}."
    )


def _with_kind(comparison, name):
    kind = comparison[name].kind
    return called(name) if kind == "function" else f"{called(name)} ({kind})"


def _capital(text):
    return text[:1].upper() + text[1:] if text.startswith("the ") else text


def _has(comparison, name, measure):
    return any(m.name == measure.name for m in comparison[name].figures)


def _scored(comparison, measure, name, size):
    value = _value(comparison, measure, name)
    if measure.name == "accuracy" and not isinstance(comparison.task, Tagging):
        return f"is right on {value} of {size}"
    if measure.name == "agreement":
        return f"gives the class of {called(comparison.teacher)} for {value} of {size}"
    return f"has a {measure.name} of {value} on {size}"


def _value(comparison, measure, name):
    return show_short(measure, comparison[name][measure.name].value)


def _amount(measure, value):
    return f"{show_points(value)} points" if measure.is_share else f"{value:.3g}"


def _direction(difference):
    return "more" if difference > 0 else "less"


def _said_of_gain(comparison, measure, model):
    difference = comparison[model].differences.get(measure.name)
    if difference is None:
        return ()
    scale, unit = (100, " points") if measure.is_share else (1, "")
    form = "+.1f" if measure.is_share else "+.3g"
    low, high = (f"{scale * bound:{form}}" for bound in (difference.low, difference.high))
    return (
        f"The 95 % interval of the difference is {low} to {high}{unit}. It covers the choice of "
        f"test {noun(comparison)}, not another training run.",
    )


def _said_of_teacher(comparison, model):
    if comparison.teacher in (None, model):
        return ()
    taught, cost = comparison[comparison.teacher].cost, comparison[model].cost
    said = [
        _times(taught.num_bytes, cost.num_bytes, "smaller", "larger"),
        _times(taught.median_ms.get(1), cost.median_ms.get(1), "faster", "slower"),
    ]
    said = [part for part in said if part]
    text = f"{called(model)} is {' and '.join(said)} than {called(comparison.teacher)}."
    return (_capital(text),) if said else ()


def _times(of_teacher, of_model, less, more):
    if not of_teacher or not of_model:
        return None
    ratio = of_teacher / of_model
    word, ratio = (less, ratio) if ratio >= 1 else (more, 1 / ratio)
    return f"{ratio:.2g} times {word}" if ratio < 99.5 else f"{ratio:,.0f} times {word}"


def _likeness(comparison, name, other):
    one, another = comparison.answers[name], comparison.answers[other]
    if isinstance(comparison.task, Regression):
        return 1 - np.mean(np.abs(one - another)) / max(np.std(another), 1e-12)
    return float(np.mean(one.argmax(axis=1) == another.argmax(axis=1)))
