"""A job's teacher from a signature of a SavedModel, such as one that TF Serving runs."""

import pathlib

import keras
import tensorflow as tf

from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at
from keras_distill.export.saved_model.serving import version_folders
from keras_distill.teachers.hub import HubLayer

_PREFERRED = ("logits", "probabilities")


def check(folder, preprocessor, signature):
    """Raises `ValueError` unless the teacher is the folder of a SavedModel, and reads texts itself.

    Args:
        folder, preprocessor, signature: The job's `teacher`, `preprocessor` and
            `teacher_signature`.
    """
    if preprocessor is not None:
        raise ValueError(
            "preprocessor must be left out with teacher_signature: the signature reads texts. "
            f"Received: preprocessor={preprocessor!r}, teacher_signature={signature!r}"
        )
    if not isinstance(signature, str):
        raise ValueError(
            "teacher_signature must be the name of a signature, such as 'serving_default'. "
            f"Received: teacher_signature={signature!r}"
        )
    if not tf.saved_model.contains_saved_model(folder):
        path = pathlib.Path(folder)
        versions = version_folders(path) if path.is_dir() else ()
        remedy = f" Give one of its versions: {printable(versions[-1])}." if versions else ""
        raise ValueError(
            "teacher must be the folder of a SavedModel, with its saved_model.pb, if "
            f"teacher_signature is given. Received: {printable(folder)}, which "
            f"{found_at(folder)}.{remedy}"
        )


def load(folder, signature, num_classes):
    """Loads the signature as a Keras model from texts to its outputs for the classes.

    Args:
        folder: The folder of a SavedModel.
        signature: The name of its signature.
        num_classes: Number of classes of the data.

    Raises:
        ValueError: If there is no such signature, it reads something else than one text for each
            example, or none of its outputs has a column for each class.
    """
    layer = HubLayer(folder, signature=signature, name="teacher")
    function = layer.module.signatures[signature]
    inputs, outputs = function.structured_input_signature[1], function.structured_outputs
    if [spec.dtype for spec in inputs.values()] != [tf.string]:
        raise ValueError(
            f"teacher must be a classifier that reads texts. Received: {printable(folder)}, whose "
            f"signature {signature!r} reads {_described(inputs)}. Export it together with its "
            "tokenizer."
        )
    fitting = [
        name
        for name, spec in outputs.items()
        if spec.dtype.is_floating and spec.shape.rank == 2 and spec.shape[1] in (None, num_classes)
    ]
    chosen = [*(name for name in _PREFERRED if name in fitting), *sorted(fitting)][:1]
    if not chosen or (len(fitting) > 1 and chosen[0] not in _PREFERRED):
        raise ValueError(
            f"teacher must have one output of {num_classes} columns, a logit or a probability for "
            f"each class. Received: {printable(folder)}, whose signature {signature!r} gives "
            f"{_described(outputs)}."
        )
    texts = keras.Input((), dtype="string", name="text")
    layer.output_key = chosen[0]
    # A signature may leave the number of classes open.
    output = keras.layers.Reshape((num_classes,))(layer(texts))
    return keras.Model(texts, output, name="teacher")


def _described(specs):
    return ", ".join(
        f"{name}: {spec.dtype.name} {spec.shape.as_list() if spec.shape.rank is not None else '?'}"
        for name, spec in sorted(specs.items())
    )
