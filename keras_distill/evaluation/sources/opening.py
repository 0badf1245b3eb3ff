"""Finds out the kind of a model to compare, and opens it."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from keras_distill._files.found_at import found_at
from keras_distill._keras.model_files import load_model_file
from keras_distill._keras.signatures import is_signature
from keras_distill.evaluation.sources.keras_model import Function
from keras_distill.evaluation.sources.keras_model import KerasModel
from keras_distill.evaluation.sources.saved_model import SavedModel
from keras_distill.evaluation.sources.saved_model import Signature
from keras_distill.evaluation.sources.source import Source
from keras_distill.evaluation.sources.tflite import TFLiteFile
from keras_distill.export.saved_model.serving import version_folders
from keras_distill.store.manifest import read_manifest
from keras_distill.store.teacher_store import TeacherStore


def open_source(name, model):
    """Makes a function from inputs to outputs from any model that can be compared.

    Args:
        name: The model's name, for errors.
        model: A `keras.Model` or layer, another function, a signature of a SavedModel, a
            `TeacherStore`, or a path: a .keras
            or .tflite file, the folder of a SavedModel, of versions of one, or of a store.

    Returns:
        A `Source`.

    Raises:
        ValueError: If the model is none of these.
    """
    if isinstance(model, (str, pathlib.Path)):
        return _open_path(name, pathlib.Path(model))
    if isinstance(model, TeacherStore):
        return StoredOutputs(model)
    if isinstance(model, keras.Model):
        return KerasModel(model)
    if is_signature(model):
        return Signature(f"models[{name!r}]", model)
    if callable(model):
        return Function(f"models[{name!r}]", model)
    raise ValueError(
        f"models[{name!r}] must be a keras.Model, a function, a TeacherStore, or the path of a "
        f".keras or .tflite file, of a SavedModel or of a store. Received: {model!r}"
    )


def _open_path(name, path):
    if path.suffix == ".tflite" and path.is_file():
        return TFLiteFile(path)
    if path.suffix == ".keras" and path.is_file():
        return KerasModel(load_model_file(path))
    if path.is_dir():
        folder = (version_folders(path) or [path])[-1]
        if (folder / "saved_model.pb").is_file():
            return SavedModel(folder)
        if read_manifest(path) is not None:
            return StoredOutputs(TeacherStore.open(path))
    found = "is none of them"
    if path.suffix in (".tflite", ".keras") or not path.exists():
        found = found_at(path)
    raise ValueError(
        f"models[{name!r}] must be the path of a .keras or .tflite file, or the folder of a "
        f"SavedModel or a store. Received: {path}, which {found}."
    )


class StoredOutputs(Source):
    """The outputs that a store has for the examples."""

    batch_size = 4096
    kind = "store"

    def __init__(self, store):
        self._store = store
        self.domain = store.output_domain
        self.class_names = store.class_names

    def __call__(self, x):
        batch = tf.data.Dataset.from_tensors(keras.tree.map_structure(tf.convert_to_tensor, x))
        (inputs,) = self._store.attach(batch)
        outputs = inputs.teacher_outputs
        outputs = outputs["output"] if isinstance(outputs, dict) else outputs
        return np.asarray(outputs)
