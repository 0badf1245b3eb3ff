"""Classes and examples in which students disagree with their teacher."""

import base64
import io

import keras
import numpy as np

from keras_distill.evaluation.tasks.classification import Classification

_MAX_EXAMPLES = 300
_MAX_PAIRS = 12
_THUMBNAIL = 64


def class_names(comparison):
    """Names of the classes, or their numbers if they have no names."""
    if comparison.class_names is not None:
        return list(comparison.class_names)
    num_classes = next(iter(comparison.answers.values())).shape[1]
    return [str(number) for number in range(num_classes)]


def class_counts(comparison):
    """Number of examples with each class as their label."""
    return np.bincount(comparison.task.labels, minlength=len(class_names(comparison)))


def confusion(comparison, student):
    """int `(classes, classes)`: counts by the teacher's class (row) and the student's (column)."""
    teacher, student = (
        comparison.answers[name].argmax(axis=1) for name in (comparison.teacher, student)
    )
    counts = np.zeros((len(class_names(comparison)),) * 2, int)
    np.add.at(counts, (teacher, student), 1)
    return counts


def frequent(counts, names):
    """The pairs in which teacher and student differ most often: (teacher, student, count)."""
    counts = counts * (1 - np.eye(len(names), dtype=int))
    order = np.argsort(-counts, axis=None, kind="stable")[:_MAX_PAIRS]
    pairs = zip(*np.unravel_index(order, counts.shape))
    return [
        (names[row], names[column], int(counts[row, column]))
        for row, column in pairs
        if counts[row, column]
    ]


def find(comparison):
    """The examples for which a student gives another class than the teacher.

    Returns:
        None without a teacher that classifies; else a dict: num_found, students, and rows
        (text, image, label, answers), the largest divergence first. text or image is None;
        answers are (class, probability, is another) of teacher and students.
    """
    if comparison.teacher is None or not isinstance(comparison.task, Classification):
        return None
    students = [name for name in comparison.models if name != comparison.teacher]
    teacher = comparison.answers[comparison.teacher]
    said = teacher.argmax(axis=1)
    departs, divergence = np.zeros(len(said), bool), np.zeros(len(said))
    for name in students:
        student = comparison.answers[name]
        departs |= student.argmax(axis=1) != said
        divergence = np.maximum(divergence, np.sum(np.exp(teacher) * (teacher - student), axis=1))
    places = np.flatnonzero(departs)
    places = places[np.argsort(-divergence[places], kind="stable")]
    return {
        "num_found": len(places),
        "students": students,
        "rows": [_row(comparison, students, place) for place in places[:_MAX_EXAMPLES]],
    }


def _row(comparison, students, place):
    names = class_names(comparison)
    labels = comparison.task.labels
    text, image = _shown(comparison, place)
    said = comparison.answers[comparison.teacher][place].argmax()
    answers = []
    for name in (comparison.teacher, *students):
        log_probabilities = comparison.answers[name][place]
        best = log_probabilities.argmax()
        answers.append((names[best], float(np.exp(log_probabilities[best])), bool(best != said)))
    return {
        "number": int(place if comparison.places is None else comparison.places[place]),
        "text": text,
        "image": image,
        "label": "" if labels is None else names[labels[place]],
        "answers": answers,
    }


def _shown(comparison, place):
    """The visible part of an example: a text, an image's data, or neither."""
    row = place if comparison.places is None else comparison.places[place]
    columns = keras.tree.flatten(comparison.examples)
    values = columns[0].take(np.array([row]))[0]
    if columns[0].is_text:
        texts = [text.decode("utf-8", "replace") for text in np.ravel(values)]
        return " | ".join(texts), None
    if values.ndim == 3 and values.shape[-1] in (1, 3):
        return None, _png(values)
    return None, None


def _png(pixels):
    pixels = np.nan_to_num(np.asarray(pixels, "float32"), posinf=0, neginf=0)
    low, high = pixels.min(initial=0), pixels.max(initial=0)
    scale = 255 if high <= 1 and low >= 0 else 1
    image = keras.utils.array_to_img(pixels * scale, scale=bool(low < 0 or high > 255))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
