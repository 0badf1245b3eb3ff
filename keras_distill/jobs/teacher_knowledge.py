"""Tests a teacher on the labelled data from which it will teach."""

import numpy as np

from keras_distill.evaluation import model_runs
from keras_distill.evaluation.better_order import better_order
from keras_distill.evaluation.chance import is_at_chance
from keras_distill.evaluation.held_out import read_held_out
from keras_distill.evaluation.sources import open_source

_MAX_EXAMPLES = 1000
# With fewer examples, a teacher with an accuracy of 75 % may look like one at chance.
_ENOUGH_TO_REFUSE = 50


def sample(num_examples, seed):
    """Indices of at most 1,000 examples, drawn from all examples, in their order."""
    if num_examples <= _MAX_EXAMPLES:
        return np.arange(num_examples)
    draw = np.random.default_rng(seed).choice(num_examples, _MAX_EXAMPLES, replace=False)
    return np.sort(draw)


def examine(model, data, *, is_ready, is_told):
    """Returns sentences about weaknesses of a teacher.

    Args:
        model: The teacher.
        data: Labelled examples, in the form that `compare` takes.
        is_ready: Whether the teacher came from a file.
        is_told: Whether names prove that its classes have the order of the data.

    Returns:
        A tuple of sentences, mostly empty.

    Raises:
        ValueError: If it is at chance on 50 examples or more, or another order of its classes
            would clearly be right and no names prove the present order.
    """
    labels, probabilities = _answers(model, data)
    accuracy, num = np.mean(probabilities.argmax(axis=1) == labels), len(labels)
    order = None if is_told else better_order(labels, probabilities)
    if order is not None:
        raise ValueError(
            "teacher must have its classes in the order of the data's, or name them. Received: one "
            f"that is right on {order[0]:.1%} of {num:,} labelled examples, and would be on "
            f"{order[1]:.1%} with its classes in another order. Give class_names (--classes), in "
            "the order of its outputs."
        )
    if num >= _ENOUGH_TO_REFUSE and is_at_chance(labels, probabilities):
        remedy = (
            "Does it read what is in the data (pixels from 0 to 255, such texts), and were its "
            "classes these?"
            if is_ready
            else "Give another teacher, or more teacher_epochs (--teacher-epochs) and another "
            "output."
        )
        raise ValueError(
            "teacher must know something of the labelled data. Received: one that is right on "
            f"{accuracy:.1%} of {num:,} examples, as by chance. {remedy}"
        )
    frequent = np.bincount(labels).max() / num
    if 1 - accuracy > (1 - frequent) / 2:
        return (
            f"The teacher is right on {accuracy:.1%} of {num:,} labelled examples, and always "
            f"saying the most frequent class on {frequent:.1%}. Students learn little from a "
            "teacher that knows little.",
        )
    return ()


def labels_differ(model, data):
    """Returns sentences if the test set seems to have another order of classes.

    Args:
        model: The teacher, which has the classes in the order of the training data.
        data: Labelled examples of the test set, in the form that `compare` takes.
    """
    labels, probabilities = _answers(model, data)
    order = better_order(labels, probabilities)
    if order is None:
        return ()
    return (
        f"The teacher is right on {order[0]:.1%} of {len(labels):,} test examples, and would be on "
        f"{order[1]:.1%} with their labels in another order. Are the labels of test those of "
        "train? If they are not, all figures of the test set are wrong.",
    )


def is_worse(model, student, data, preprocessor=None):
    """Returns sentences if a teacher is worse than a student that learned without it.

    Args:
        model, student: The teacher and the student.
        data: Labelled examples that neither has seen.
        preprocessor: Function from x to the student's inputs.
    """
    (labels, taught), (_, alone) = _answers(model, data), _answers(student, data, preprocessor)
    taught, alone = (np.mean(p.argmax(axis=1) == labels) for p in (taught, alone))
    return (worse_sentence(taught, alone, len(labels)),) if taught < alone else ()


def worse_sentence(teacher, alone, num_examples, p_value=None):
    """The sentence about the accuracies of teacher and student."""
    chance = "" if p_value is None else f" (p = {p_value:.3f})"
    return (
        f"The teacher is worse than the student that learned without it: right on {teacher:.1%} "
        f"and {alone:.1%} of {num_examples:,} test examples{chance}. A better teacher may help the "
        "student more."
    )


def _answers(model, data, preprocessor=None):
    held_out, source = read_held_out(data), open_source("teacher", model)
    read = preprocessor or _as_it_is
    rows = model_runs.run("teacher", source, held_out.student, read, None, verbose=False)
    return held_out.labels, np.exp(model_runs.log_probabilities(rows, source.domain))


def _as_it_is(x):
    return x
