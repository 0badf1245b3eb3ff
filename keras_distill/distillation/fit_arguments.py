"""Checks of the arguments of `fit`, made before anything is trained."""

import inspect
import types

import keras
import tensorflow as tf

from keras_distill._keras.epochs import validates_behind
from keras_distill.data.inputs import unpack
from keras_distill.distillation.label_checks import check_numbers
from keras_distill.distillation.label_checks import check_weighs_examples
from keras_distill.distillation.label_checks import weighed


def with_class_weight(learner, given):
    """The arguments of `fit`, with class weights only if Keras applies them correctly.

    Args:
        learner: The `Learner`.
        given: The `inspect.BoundArguments` of its `fit`.
    """
    if class_weight := given.arguments["class_weight"]:
        classes_rank = learner.check_class_weight(class_weight)
        if isinstance(given.arguments["x"], tf.data.Dataset):
            given.arguments["x"] = weighed(given.arguments["x"], class_weight, classes_rank)
            given.arguments["class_weight"] = None
        else:
            check_weighs_examples(given.arguments["y"], classes_rank)
    return given


def listed(callbacks):
    """Lists the callbacks, given in any form that `fit` accepts."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks.callbacks
    return keras.tree.flatten(callbacks or [])


def check_fit(learner, *args, **kwargs):
    """Raises for arguments that Keras would ignore, or refuse only after the first epoch.

    Args:
        learner: The `Learner`.
        *args, **kwargs: The arguments of its `fit`.

    Returns:
        The `inspect.BoundArguments` of `keras.Model.fit`.

    Raises:
        TypeError: If `fit` has no such argument.
        ValueError: If the data needs preprocessing, there are weights without labels, a label is
            not a class of the student, or validation has nothing to measure.
    """
    bound = inspect.signature(keras.Model.fit).bind(learner, *args, **kwargs)
    bound.apply_defaults()
    given = types.SimpleNamespace(**bound.arguments)
    is_dataset = isinstance(given.x, tf.data.Dataset)
    learner.check_inputs("x", given.x)
    _check_validation_inputs(learner, given.validation_data)
    has_labels = _has_labels(given.x if is_dataset else (given.x, given.y))
    if has_labels is False:
        _check_weights(given.sample_weight, given.class_weight)
    if given.class_weight is not None:
        learner.check_class_weight(given.class_weight)
    for argument, data in (
        ("y", given.x if is_dataset else (given.x, given.y)),
        ("y of validation_data", given.validation_data),
    ):
        _check_labels(learner, argument, data)
    if given.validation_data is not None:
        has_labels = _has_labels(given.validation_data)
    if has_labels is not None and _validates(learner, given):
        learner.check_validation(has_labels)
    return bound


def check_batch(learner, x, y=None, class_weight=None, in_training=True):
    """Checks one batch as `check_fit` checks all data.

    Args:
        learner: As for `check_fit`.
        x, y, class_weight: The arguments of its `train_on_batch`.
        in_training: Whether the batch is used for training.
    """
    learner.check_inputs("x", x, in_training)
    if class_weight is not None:
        if y is None:
            _check_weights(None, class_weight)
        check_weighs_examples(y, learner.check_class_weight(class_weight))
    _check_labels(learner, "y", (x, y))


def _check_validation_inputs(learner, data):
    if isinstance(data, tuple):
        data = data[0]
    learner.check_inputs("validation_data", data, in_training=False)


def _check_labels(learner, argument, data):
    if isinstance(data, tf.data.Dataset):
        y = unpack(data.element_spec)[1]
    elif isinstance(data, tuple) and are_arrays(unpack(data)[1]):
        y = unpack(data)[1]
    else:
        return
    if y is not None:
        check_numbers(argument, y)
        learner.check_classes(argument, y)


def _check_weights(sample_weight, class_weight):
    if class_weight is not None:
        raise ValueError(
            "class_weight needs y, whose classes it weighs. Received: class_weight and no y."
        )
    if sample_weight is not None:
        raise ValueError(
            "sample_weight needs y, without which Keras drops it. Received: sample_weight and no "
            "y. Give x as a batched tf.data.Dataset of (x, (), sample_weight); to fit_stages, of "
            "(x, y, sample_weight)."
        )


def _validates(learner, given):
    if given.validation_data is None and not given.validation_split:
        return False
    epochs = range(given.initial_epoch, given.epochs)
    return any(validates_behind(learner, epoch, given.validation_freq) for epoch in epochs)


def are_arrays(data):
    """Whether data are arrays or tensors, in any structure."""
    return all(hasattr(part, "shape") for part in keras.tree.flatten(data) if part is not None)


def _has_labels(data):
    """Whether there is a y; None for generators, where only the batches show it."""
    if isinstance(data, tf.data.Dataset):
        data = data.element_spec
    elif not are_arrays(data):
        return None
    return unpack(data)[1] is not None
