"""Splits labelled examples, texts or images, into a training and a test set."""

import numpy as np

from keras_distill._arguments.imports import import_module
from keras_distill._arguments.names import look_alike
from keras_distill._arguments.names import problem_of_name


def check_classes(train, where):
    """Raises `ValueError` unless there are at least two classes.

    Args:
        train: Labelled examples.
        where: Where the labels come from, for the error, as a part of a sentence.
    """
    if len(train.class_names) < 2:
        found = f"one, {train.class_names[0]!r}" if train.class_names else "none"
        raise ValueError(
            f"The training data must have at least two classes. Received: {found}. Is {where}?"
        )
    for name in train.class_names:
        if problem := problem_of_name(name):
            raise ValueError(
                "The classes must have names on one line, without blanks around them. Received: "
                f"{name!a}, which {problem}. Rename it."
            )
    if pair := look_alike(train.class_names):
        raise ValueError(
            "The names of the classes must differ in more than capitals, blanks or the form of a "
            f"letter. Received: {pair[0]!a} and {pair[1]!a}. Rename one, or put both together."
        )


def split(train, test_rate, seed):
    """Splits off a stratified test set, in which each class has its share.

    Raises:
        ValueError: If a class has a single example, or there are fewer test examples, or fewer
            others, than classes.
    """
    counts = np.bincount(train.labels, minlength=len(train.class_names))
    rare = [name for name, count in zip(train.class_names, counts) if count < 2]
    num_test = round(test_rate * len(train))
    if rare or not len(counts) <= num_test <= len(train) - len(counts):
        problem = f"{len(train)} examples of {len(train.class_names)} classes"
        if rare:
            problem += f", and a single one of {', '.join(map(repr, rare[:5]))}"
        raise ValueError(
            "Without a test file, every class needs two examples, and the test set, like the "
            "examples that are left, at least as many as there are classes. Received: "
            f"test_rate={test_rate} of {problem}. Give a test file, or more examples."
        )
    places = import_module("sklearn.model_selection").train_test_split(
        np.arange(len(train)), test_size=num_test, random_state=seed, stratify=train.labels
    )
    return tuple(train[np.sort(part)] for part in places)
