"""Checks names of encoders and preprocessors before KerasHub looks for them."""

import difflib
import os

import tensorflow as tf

from keras_distill._arguments.imports import import_module
from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at
from keras_distill._files.json_files import read_json_object

# Schemes of TF-Hub and KerasHub, which also read paths that TensorFlow can read.
_SCHEMES = ("http", "https", "kaggle", "hf", "modelscope")
# KerasHub distinguishes folders by these keys: its own, Hugging Face's and timm's.
_KEYS = ("registered_name", "model_type", "architecture")


def check_preset_name(argument, name, *others, kind="TextClassifierPreprocessor"):
    """Raises `ValueError` for a name that is not a preset, a handle or a folder of a model.

    Args:
        argument: Name of the argument, for the error.
        name: A str.
        *others: Other accepted values, for the error.
        kind: The KerasHub class whose presets are accepted.
    """
    scheme, is_handle, _ = name.partition("://")
    if is_handle:
        known = (*_SCHEMES, *tf.io.gfile.get_registered_schemes())
        problem = None if scheme.lower() in known else f", a handle of none of {', '.join(known)}"
    elif os.path.isdir(name):
        problem = _why_no_model(name)
    elif os.path.exists(name):
        problem = f", which {found_at(name)}"
    else:
        presets = getattr(import_module("keras_hub").models, kind).presets
        if name in presets:
            return
        problem = ", which is no file or folder here, and no preset of KerasHub for texts"
        if like := difflib.get_close_matches(name, [*presets, *(o.strip("'") for o in others)]):
            problem += (
                f"; {'names like it are' if like[1:] else 'the nearest name is'} {', '.join(like)}"
            )
    if problem:
        kinds = (
            "a KerasHub preset or folder",
            "a Hugging Face folder",
            "a TF-Hub handle or folder",
        )
        *first, last = (*kinds, *others)
        raise ValueError(
            f"{argument} must be the name of a model: {', '.join(first)}, or {last}. Received: "
            f"{printable(name) or repr(name)}{problem}"
        )


def _why_no_model(folder):
    """The reason why a folder is not a model, or None."""
    if os.path.exists(os.path.join(folder, "saved_model.pb")):
        return None
    path = os.path.join(folder, "config.json")
    if not os.path.exists(path):
        return ", which is a folder without saved_model.pb and config.json"
    try:
        config = read_json_object(path)
    except ValueError as error:
        return f": {error}"
    if any(key in config for key in _KEYS):
        return None
    return f", whose config.json has none of {', '.join(_KEYS)}"
