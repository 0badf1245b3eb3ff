"""Checks of labels and class weights, made before anything is trained."""

import re

import keras
import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import is_finite
from keras_distill._arguments.checks import is_integer
from keras_distill.data.inputs import unpack
from keras_distill.losses.base import shapes_agree

_SPARSE = (
    keras.losses.SparseCategoricalCrossentropy,
    keras.losses.sparse_categorical_crossentropy,
)
_ONE_HOT = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
)
_BINARY = (
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
    keras.losses.binary_crossentropy,
    keras.losses.binary_focal_crossentropy,
)


def check_numbers(argument, y):
    """Raises `ValueError` for labels that are strings or other objects.

    Args:
        argument: The argument's name, for the error.
        y: Nested arrays, tensors or specs of a data set.
    """
    for part in keras.tree.flatten(y):
        dtype = getattr(part, "dtype", None)
        if getattr(dtype, "kind", None) in ("U", "S", "O") or dtype == tf.string:
            raise ValueError(
                f"{argument} must be numbers, such as the number of each example's class from 0. "
                f"Received: labels of dtype {getattr(dtype, 'name', dtype)}. "
                "classes, y = np.unique(y, return_inverse=True) numbers names."
            )


def check_classes(argument, y, loss, outputs, output_names=None):
    """Raises `ValueError` for labels of a class that the student does not have.

    Only labels of Keras's cross-entropies are checked, and refused only if Keras would raise an
    error or compute nonsense. A subclass of a cross-entropy may read its labels in another way.

    Args:
        argument: The argument's name, for the error.
        y: Labels, nested like the outputs, as arrays or tensors; or their specs, which show only
            whether they are one-hot.
        loss: The loss of compile().
        outputs: The student's outputs, symbolic or not; None if they are not known.
        output_names: Names of the outputs if they are in a list, or None.
    """
    structure = y, loss, outputs, output_names
    for labels, sparse, output in _of_losses(_SPARSE, *structure):
        if labels is not None:
            _check_is_not_one_hot(argument, labels, sparse, output)
            _check_are_classes(argument, labels, sparse, output)
    for labels, one_hot, output in _of_losses(_ONE_HOT, *structure):
        if labels is not None:
            _check_is_one_hot(argument, labels, one_hot, output)
    for labels, _, _ in _of_losses(_BINARY, *structure):
        values = _values(labels)
        if values is not None and values.min() == 1 and values.max() == 2:
            raise ValueError(
                f"{argument} must be from 0 to 1 for a binary cross-entropy. Received: labels from "
                "1 to 2. Give y - 1."
            )


def explained(error):
    """The `ValueError` for a training step's error about a label, or None for other errors.

    The first batch is checked before the training, but a later one may have the first bad label.
    """
    found = re.search(
        r"label value of (\S+) which is outside the valid range of \[0, (\d+)\)", str(error)
    )
    if found is None:
        return None
    label, num_classes = found.groups()
    return ValueError(
        f"y must be classes from 0 to {int(num_classes) - 1}. Received: label {label} in a batch "
        "after the first. Number the classes from 0. The student keeps what it learnt before."
    )


def _check_is_not_one_hot(argument, labels, loss, output):
    shape = _shape(labels)
    if len(shape) == len(output.shape) and (shape[-1] or 1) > 1:
        raise ValueError(
            f"{argument} must be the number of each example's class for a sparse cross-entropy. "
            f"Received: shape {shape}, as of one-hot labels. Compile with "
            f"loss=keras.losses.CategoricalCrossentropy({_from_logits(loss)}), or give "
            "np.argmax(y, axis=-1)."
        )


def _check_is_one_hot(argument, labels, loss, output):
    shape, num_classes = _shape(labels), output.shape[-1]
    # A data set that is not batched has labels of the shape of one example.
    is_flat = len(shape) == len(output.shape) - 1 and shape != tuple(output.shape[1:])
    is_column = len(shape) == len(output.shape) and shape[-1] == 1
    if shape and num_classes > 1 and (is_flat or is_column):
        raise ValueError(
            f"{argument} must be one-hot, with {num_classes} numbers for each example, for a "
            f"categorical cross-entropy. Received: shape {shape}, as of class numbers. Compile "
            f"with loss=keras.losses.SparseCategoricalCrossentropy({_from_logits(loss)}), or give "
            f"keras.utils.to_categorical(y, {num_classes})."
        )


def _check_are_classes(argument, labels, loss, output):
    labels = _values(labels)
    if labels is None or not _fits(labels, output):
        return
    num_classes, ignored = output.shape[-1], getattr(loss, "ignore_class", None)
    labels = labels.reshape(-1) if ignored is None else labels[labels != ignored]
    if len(fractions := labels[labels != np.floor(labels)]):
        raise ValueError(
            f"{argument} must be whole numbers, classes from 0 to {num_classes - 1}. Received: "
            f"labels such as {fractions[0]!s}. For probabilities of classes give "
            "keras.losses.CategoricalCrossentropy, for a regression a student with one output and "
            "keras.losses.MeanSquaredError()."
        )
    bad = labels[(labels < 0) | (labels >= num_classes)]
    if len(bad) and labels.min() == 1 and labels.max() == num_classes:
        raise ValueError(
            f"{argument} must be classes from 0 to {num_classes - 1}. Received: labels from 1 to "
            f"{num_classes}. Give y - 1."
        )
    if len(bad):
        raise ValueError(
            f"{argument} must be classes from 0 to {num_classes - 1}: the student has "
            f"{num_classes} outputs. Received: labels such as {bad[0]!s}, {len(bad)} of "
            f"{labels.size}. Number the classes from 0; for examples without a label give "
            "keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)."
        )


def _shape(labels):
    """The shape of an array, a tensor or its spec; empty if it is not known."""
    shape = getattr(labels, "shape", ())
    return () if getattr(shape, "rank", 0) is None else tuple(shape)


def _values(labels):
    """The numbers as an array, or None for specs, other labels, and where there are none."""
    if labels is None or isinstance(labels, tf.TypeSpec):
        return None
    values = np.asarray(labels)
    return values if values.dtype.kind in "biuf" and values.size else None


def _from_logits(loss):
    is_of_logits = isinstance(loss, keras.losses.Loss) and loss.get_config()["from_logits"]
    return "from_logits=True" if is_of_logits else ""


def check_class_weight(class_weight, loss, outputs):
    """Raises `ValueError` unless these are weights of the student's classes.

    Args:
        class_weight: As in `fit`: a dict from class to weight.
        loss: The loss of compile().
        outputs: The student's outputs; None if they are not known.

    Returns:
        The rank of labels in which each number is a class; None if the loss does not show it.
    """
    is_dict = isinstance(class_weight, dict) and class_weight
    if not is_dict or not all(
        is_integer(label) and is_finite(weight) and weight >= 0
        for label, weight in class_weight.items()
    ):
        raise ValueError(
            "class_weight must be a dict from the number of a class to its weight, a finite number "
            f">= 0. Received: class_weight={class_weight!r}"
        )
    classes_rank = None
    # With several outputs the loop finds nothing: Keras applies class weights to one y only.
    for _, sparse, output in _of_losses(_SPARSE, None, loss, outputs):
        classes_rank = len(output.shape) - 1
        known = {*range(output.shape[-1]), -1, getattr(sparse, "ignore_class", None)}
        if unknown := sorted(set(class_weight) - known):
            raise ValueError(
                f"class_weight must be of classes from 0 to {output.shape[-1] - 1}, or -1 for no "
                f"label: the others would be left out. Received: {unknown}"
            )
    return classes_rank


def check_weighs_examples(y, classes_rank):
    """Raises `ValueError` for arrays of several labels per example, which Keras cannot weigh.

    Args:
        y: Nested arrays.
        classes_rank: As `check_class_weight` returns it.
    """
    shape = tuple(getattr(y, "shape", ()))
    if len(shape) > 2 or len(shape) == 2 == classes_rank:
        raise ValueError(
            "class_weight of arrays needs one label for each example: of several, as of tokens, "
            f"Keras takes the largest for the class. Received: y of shape {shape}. Give x as a "
            "batched tf.data.Dataset of (x, y), or the weight of each label as sample_weight."
        )


def weighed(dataset, class_weight, classes_rank):
    """A data set of `(x, y)` with class weights as sample weights.

    A label without a class weight, such as -1 for a missing label, has the weight 1. Keras itself
    looks each label up in a list, which has no entry for -1, and treats several labels of an
    example, such as those of tokens, as one-hot: the position of the largest is the class.

    Args:
        dataset: A batched `tf.data.Dataset`.
        class_weight: Dict from class to weight.
        classes_rank: As `check_class_weight` returns it.
    """
    classes = tf.constant(list(class_weight), "int64")
    weights = tf.constant(list(class_weight.values()), keras.config.floatx())

    def weigh(*batch):
        _, y, sample_weight = unpack(batch)
        if sample_weight is not None or keras.tree.is_nested(y):
            raise ValueError(
                "class_weight needs data of (x, y) with one tensor y, and no sample_weight. "
                f"Received: batches of {len(batch)} with y={y}"
            )
        if y.shape.rank > 1 and y.shape.rank != classes_rank:
            y = tf.argmax(y, axis=-1) if y.shape[-1] != 1 else tf.squeeze(y, axis=-1)
        labels = tf.cast(tf.round(y) if y.dtype.is_floating else y, "int64")
        is_class = labels[..., tf.newaxis] == classes
        weight = tf.reduce_sum(tf.where(is_class, weights, tf.zeros_like(weights)), axis=-1)
        weight = tf.where(tf.reduce_any(is_class, axis=-1), weight, tf.ones_like(weight))
        return (*batch[:2], weight)

    return dataset.map(weigh, num_parallel_calls=tf.data.AUTOTUNE)


def known_outputs(model):
    """A model's symbolic outputs, in the structure that it returns, or None."""
    outputs = getattr(model, "output", None)
    # A Sequential model that was not called has `outputs` but no `output`.
    alone = getattr(model, "outputs", None) if outputs is None else None
    return alone[0] if alone and len(alone) == 1 else outputs


def _of_losses(kinds, y, loss, outputs, output_names=None):
    """Lists `(labels, loss, output)` of the outputs of classes that have a loss of these kinds."""
    if isinstance(outputs, dict):
        keys = {key: (key, key) for key in outputs}
    elif isinstance(outputs, (list, tuple)):
        names = list(output_names or range(len(outputs)))
        keys = {index: (index, names[index]) for index in range(len(outputs))}
    else:
        is_kind = _is_of(kinds, loss) and getattr(outputs, "shape", (None,))[-1] is not None
        return [(y, loss, outputs)] if is_kind else []
    found = []
    for at, (place, name) in keys.items():
        own = _entry(loss, place, name) if keras.tree.is_nested(loss) else loss
        found += _of_losses(kinds, _entry(y, place, name), own, outputs[at])
    return [entry for entry in found if entry[0] is not None]


def _entry(nested, place, name):
    if isinstance(nested, dict):
        return nested.get(name)
    is_list = isinstance(nested, (list, tuple)) and isinstance(place, int)
    return nested[place] if is_list and place < len(nested) else None


def _is_of(kinds, loss):
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return False  # Keras raises its own error for this.
    return any(loss is kind or type(loss) is kind for kind in kinds)


def _fits(labels, output):
    """Whether the classes are on the last axis, not on another axis that the loss names."""
    sizes = tuple(output.shape)[1:-1]
    own = labels.shape[1:]
    return any(shapes_agree(own, wanted) for wanted in (sizes, (*sizes, 1)))
