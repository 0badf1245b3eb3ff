"""Checks texts and labels row by row, and makes `Examples` from them."""

import numbers
import re
from typing import NamedTuple

import numpy as np

from keras_distill._arguments.names import clean_name
from keras_distill._arguments.names import look_alike
from keras_distill._arguments.names import problem_of_name
from keras_distill.text.reading.examples import Examples
from keras_distill.text.reading.examples import object_array

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_MINUS_ONE = re.compile(r"-0*1(\.0*)?")
# Other libraries end a text at NUL, and half of a surrogate pair cannot be written.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class Row(NamedTuple):
    """A text and its label as they were found, and their place."""

    place: str
    text: object
    label: object = None


def make_examples(rows, *, is_labelled, class_names=None, regression=False, tags=False):
    """Makes `Examples` from rows.

    Args:
        rows: Iterable of `Row`. A text is a str; a list or tuple of two is a pair.
        is_labelled: Whether the rows' labels are read.
        class_names: The class names to use, in order. None takes the labels in the rows,
            sorted (numbers by value).
        regression: Whether labels are numbers. Defaults to False.
        tags: Whether texts and labels are words and their tags: lists, or strings
            separated by spaces. Defaults to False.

    Raises:
        ValueError: If a text or label is invalid; the message has its place.
    """
    given_names = _checked_class_names(class_names, regression, tags)
    rows = list(rows)
    if tags:
        rows = [row._replace(text=_words(row, row.text, "text")) for row in rows]
        texts = object_array([row.text for row in rows])
    else:
        texts = _checked_texts(rows)
    if not is_labelled:
        return Examples(texts)
    for row in rows:
        if row.label is None or (isinstance(row.label, str) and not clean_name(row.label)):
            raise ValueError(
                f"{row.place} has no label. Received: the label {row.label!r}. Label it or remove "
                "it; label=None reads unlabelled text."
            )
    if regression:
        return Examples(texts, np.array([_target(row) for row in rows]))
    if tags:
        names = [_checked_tags(row) for row in rows]
    else:
        names = [[_name(row, row.label)] for row in rows]
    class_names = given_names
    if class_names is None:
        class_names = tuple(sorted(set().union(*names), key=_by_value))
        _check_differ(rows, names, class_names)
    indices = _indices(rows, names, class_names)
    labels = object_array(indices) if tags else np.concatenate(indices)
    return Examples(texts, labels, class_names)


def _checked_class_names(class_names, regression, tags):
    if regression and (tags or class_names is not None):
        other = "tags" if tags else "class_names"
        raise ValueError(
            f"regression has no classes, so {other} must not be given with it. Received: "
            f"regression=True, tags={tags}, class_names={class_names!r}"
        )
    if class_names is None:
        return None
    is_names = not isinstance(class_names, str) and all(isinstance(n, str) for n in class_names)
    names = tuple(map(clean_name, class_names)) if is_names else ()
    if not is_names or len(set(names)) != len(names):
        raise ValueError(
            "class_names must be different strings, one for each class. Received: "
            f"class_names={class_names!r}. Give class_names= of the training examples."
        )
    return names


def _checked_texts(rows):
    is_pair = bool(rows) and _is_sequence(rows[0].text)
    for place, text, _ in rows:
        parts = text if is_pair and _is_sequence(text) else [text]
        if is_pair and len(parts) != 2:
            raise ValueError(
                f"{place}: the texts are pairs, so each must be two strings. Received: "
                f"{text!r:.120}. For words to tag give tags=True."
            )
        for part in parts:
            _check_string(place, part, "text")
    shape = (len(rows), 2) if is_pair else (len(rows),)
    return object_array([row.text for row in rows], shape)


def _check_string(place, value, what):
    if not isinstance(value, str):
        remedy = "Decode it from UTF-8." if isinstance(value, bytes) else "Write it as a string."
        raise ValueError(
            f"{place}: {what} must be a string. Received: {value!r:.80} of type "
            f"{type(value).__name__}. {remedy}"
        )
    if wrong := _NO_TEXT.search(value):
        found = "NUL" if wrong[0] == "\0" else "half a character"
        raise ValueError(
            f"{place}: {what} has {found} in it, {wrong[0]!a}, which no text has. Received: "
            f"{value!a:.80}. Remove it from the text, or save the file as UTF-8."
        )


def _words(row, value, what):
    if not _is_sequence(value):
        _check_string(row.place, value, what)
        # split() without argument would also split at a no-break space, which a word may contain.
        value = [word for word in value.split(" ") if word]
    for word in value:
        _check_string(row.place, word, f"every word of {what}")
    return list(value)


def _checked_tags(row):
    tags = row.label if _is_sequence(row.label) else _words(row, row.label, "label")
    tags = [_name(row, tag) for tag in tags]
    if len(tags) != len(row.text):
        raise ValueError(
            f"{row.place} has {len(row.text)} words and {len(tags)} tags. Received: "
            f"{row.text!r:.120}, {tags!r:.120}. Give each word one tag, separated by spaces."
        )
    return tags


def _name(row, label):
    if not isinstance(label, (str, numbers.Integral, np.bool_)):
        raise ValueError(
            f"{row.place}: a class label must be a string or an integer. Received: "
            f"the label {label!r:.80}. Give regression=True for numbers to predict."
        )
    name = clean_name(str(label))
    if problem := problem_of_name(name):
        raise ValueError(
            f"{row.place}: a class label must be a name on one line. Received: "
            f"the label {label!r:.80}, which {problem}. Write it in another way, or remove what "
            "has no label."
        )
    return name


def _check_differ(rows, names, class_names):
    """Raises `ValueError` for class names that a reader would confuse, or read as no label."""
    if pair := look_alike(class_names):
        places = [_first_place(rows, names, name) for name in pair]
        raise ValueError(
            f"{places[1]}: the label {pair[1]!a} differs from {pair[0]!a} ({places[0]}) in "
            "capitals, blanks or the form of a letter only. Write both in one way; class_names= "
            "says that they are two classes."
        )
    missing = [name for name in class_names if _MINUS_ONE.fullmatch(name)]
    # With two names, "-1" can only be a class.
    if missing and len(class_names) > 2:
        raise ValueError(
            f"{_first_place(rows, names, missing[0])}: the label {missing[0]!r} can be a class, "
            "or the sign of a text without a label. Write the class as a word, such as 'negative', "
            "or keep texts without a label in a file of their own; class_names= says that it is a "
            "class."
        )


def _first_place(rows, names, name):
    return next(row.place for row, row_names in zip(rows, names) if name in row_names)


def _target(row):
    try:
        is_spelled_as_in_python = isinstance(row.label, str) and "_" in row.label
        with np.errstate(over="ignore"):
            target = np.float32(np.nan if is_spelled_as_in_python else float(row.label))
    except (TypeError, ValueError, OverflowError):
        target = np.nan
    if not np.isfinite(target):
        raise ValueError(
            f"{row.place}: a regression label must be a finite number. Received: "
            f"the label {row.label!r:.80}. Leave out regression=True for classes."
        )
    return target


def _indices(rows, names, class_names):
    index = {name: i for i, name in enumerate(class_names)}
    indices = []
    for row, row_names in zip(rows, names):
        unseen = [name for name in row_names if name not in index]
        if unseen:
            raise ValueError(
                f"{row.place}: the label {unseen[0]!r} is none of the classes, so it was unseen in "
                f"training. Received, as classes: {class_names!r:.200}. Correct the label; "
                "class_names= of the training examples can name more classes."
            )
        indices.append(np.array([index[name] for name in row_names], np.int32))
    return indices


def _by_value(name):
    return (0, float(name), name) if _NUMBER.fullmatch(name) else (1, 0.0, name)


def _is_sequence(value):
    return isinstance(value, (list, tuple, np.ndarray))
