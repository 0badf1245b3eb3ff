"""Detects texts for a model of numbers, and numbers for one of texts, before it runs."""

import keras
import numpy as np
import tensorflow as tf


def check_preprocessed(role, model, argument, x):
    """Raises `ValueError` for x that a model can read only after its preprocessor, or never.

    Args:
        role: Role of the model, such as "student".
        model: A model or function; of functions, only those of SavedModels are checked.
        argument: Name of the data in the error.
        x: The model's inputs: arrays, tensors, or a structure or specs of them.
    """
    leaves = keras.tree.flatten(x)
    if (numbers := _dtype_of_numbers(leaves)) and _input_dtypes(model) == {"string"}:
        raise ValueError(
            f"{argument} must be strings, which the {role} reads. Received: {numbers}. If the "
            "other model reads numbers, start from a dataset of strings and give each model its "
            "own inputs: keras_distill.data.pair_inputs(dataset, student=..., teacher=...)."
        )
    found = _raw(model, leaves)
    if found is None:
        return
    remedy = "Preprocess it first, such as by dataset.map(lambda x, y: (preprocess(x), y))."
    if getattr(model, "preprocessor", None) is not None:
        remedy = (
            "Only its own fit() would call its preprocessor. Preprocess the data first: "
            "dataset.map(lambda x, y: (model.preprocessor(x), y)), or, where teacher and student "
            "have different ones, keras_distill.data.pair_inputs(dataset, "
            "student=student.preprocessor, teacher=teacher.preprocessor)."
        )
    raise ValueError(
        f"{argument} must be what the layers of the {role} {model.name!r} read. "
        f"Received: {found}. {remedy}"
    )


def _raw(model, leaves):
    """The kind of raw data that a model cannot read, in words, or None."""
    inputs = getattr(model, "inputs", None)
    if not (isinstance(model, keras.Model) and inputs):
        return None
    if not any(i.dtype == "string" for i in inputs) and any(map(_is_text, leaves)):
        return "strings"
    converter = getattr(getattr(model, "preprocessor", None), "image_converter", None)
    scales = getattr(converter, "scale", None) is not None
    if scales and any(map(_is_picture_of_integers, leaves)):
        # KerasHub's converter scales pixels to the range of the weights, as floats.
        return "integer pixels, which its preprocessor scales"
    return None


def _input_dtypes(model):
    """Names of the dtypes that a model or a SavedModel's function reads; empty if not known."""
    if isinstance(model, keras.layers.TFSMLayer):
        model = model.call_endpoint_fn
    if isinstance(model, keras.Model):
        return {tensor.dtype for tensor in getattr(model, "inputs", None) or []}
    # A function of a SavedModel has a form for each signature that was traced.
    forms = getattr(model, "concrete_functions", [model])
    leaves = tf.nest.flatten([getattr(f, "structured_input_signature", None) for f in forms])
    return {leaf.dtype.name for leaf in leaves if isinstance(leaf, tf.TensorSpec)}


def _dtype_of_numbers(leaves):
    """The name of the first dtype of numbers, or None."""
    for leaf in leaves:
        dtype = getattr(leaf, "dtype", np.dtype(type(leaf)))
        is_number = getattr(dtype, "is_integer", False) or getattr(dtype, "is_floating", False)
        if is_number or getattr(dtype, "kind", None) in ("b", "i", "u", "f"):
            return dtype.name
    return None


def _is_text(leaf):
    if isinstance(leaf, (str, bytes)):
        return True
    dtype = getattr(leaf, "dtype", None)
    if getattr(dtype, "kind", None) == "O":
        leaf = np.asarray(leaf)
        return leaf.size > 0 and isinstance(leaf.flat[0], (str, bytes))
    return dtype == tf.string or getattr(dtype, "kind", None) in ("U", "S", "T")


def _is_picture_of_integers(leaf):
    dtype, shape = getattr(leaf, "dtype", None), getattr(leaf, "shape", None)
    if dtype is None or shape is None or getattr(shape, "rank", 0) is None:
        return False
    return len(shape) == 4 and getattr(tf.as_dtype(dtype), "is_integer", False)
