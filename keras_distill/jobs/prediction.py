"""Classifies texts or pictures with a model that was trained or exported."""

import pathlib

import numpy as np

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at
from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import OTHER
from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import SOFTMAX
from keras_distill.evaluation.held_out import read_held_out
from keras_distill.evaluation.model_runs import are_probabilities
from keras_distill.evaluation.model_runs import in_range_of_probabilities
from keras_distill.evaluation.model_runs import log_probabilities
from keras_distill.evaluation.model_runs import run
from keras_distill.evaluation.sources import open_source
from keras_distill.export.classifier import check_class_names
from keras_distill.export.saved_model.serving import version_folders
from keras_distill.export.tflite.app_tokenizer import app_tokenizer
from keras_distill.export.tflite.metadata_reading import read_normalization
from keras_distill.jobs.images.picture import read_picture
from keras_distill.jobs.images.scaling import scaled
from keras_distill.text import WordPieceVocabulary

_PHONE_FILE = "student.tflite"
# Of a model that reads texts of any length.
_SEQUENCE_LENGTH = 512


def predict(
    model, examples, *, top=3, class_names=None, vocabulary=None, mean_std=None, from_logits=None
):
    """Finds the most probable classes of texts or pictures.

    Texts are tokenized as an app does it for the model's TFLite file. Pictures are scaled to the
    model's size, as the jobs do it.

    Args:
        model: A .tflite or .keras file, the folder of a SavedModel or of its versions, or the
            folder of a job, which means its TFLite file.
        examples: List of texts, or of paths of pictures: the model tells which it reads.
        top: Number of classes for each example. Defaults to 3.
        class_names: Names of all classes in the order of the outputs. None means those in the
            model.
        vocabulary: For a model that reads ids: a TFLite file whose tokenizer it uses, or a
            BERT's vocabulary file. None means the tokenizer in the file itself and, for a
            .keras file in the folder of a job, that of the job's TFLite file.
        mean_std: For pictures, a pair of numbers: the model reads `(pixel - mean) / std` of
            pixels from 0 to 255. None means what the file says, else the pixels themselves.
        from_logits: Whether the outputs are logits (True) or probabilities (False). None means
            what the last layer shows.

    Returns:
        A list with a list for each example: pairs of a class's name and its probability, the
        most probable first. If an example may have several classes, as with one sigmoid for each
        class, each probability stands alone.

    Raises:
        ValueError: If the model is none of these or lacks names, a tokenizer or a known output,
            or if an argument is for models that read something else.
    """
    top = check_integer("top", top)
    if not examples:
        raise ValueError("examples must be texts or pictures. Received: none.")
    path = _found(model)
    source = open_source("model", path)
    columns = _columns(source, path, examples, vocabulary, mean_std)
    outputs = run("model", source, columns, lambda x: x, None, verbose=False)
    if outputs.ndim != 2:
        raise ValueError(
            "model must be a classifier with one row of classes for each example. Received: "
            f"{path}, whose outputs have the shape {outputs.shape[1:]} for each."
        )
    logs = _log_probabilities(source, outputs, from_logits, path)
    names = _names(source.class_names if class_names is None else class_names, logs, path)
    best = np.argsort(-logs, axis=1, kind="stable")[:, :top]
    return [[(names[k], float(np.exp(row[k]))) for k in places] for row, places in zip(logs, best)]


def _found(model):
    path = pathlib.Path(model)
    if (path / _PHONE_FILE).is_file():
        return path / _PHONE_FILE
    if path.suffix in (".tflite", ".keras") and path.is_file():
        return path
    if path.is_dir() and ((version_folders(path) or [path])[-1] / "saved_model.pb").is_file():
        return path
    found = "is none of them" if path.exists() else found_at(path)
    raise ValueError(
        "model must be a .tflite or .keras file, or the folder of a SavedModel or of a job. "
        f"Received: {printable(path)}, which {found}."
    )


def _columns(source, path, examples, vocabulary, mean_std):
    """The model's inputs, nested `Column`s."""
    if source.reads_text:
        _refuse(path, "texts itself", vocabulary=vocabulary, mean_std=mean_std)
        return read_held_out((np.array(examples, object),)).student
    shapes = [shape for shape, _ in source.inputs.values()]
    if len(shapes) == 1 and shapes[0] is not None and len(shapes[0]) == 3:
        _refuse(path, "pictures", vocabulary=vocabulary)
        return read_held_out((_pixels(source, path, examples, mean_std),)).student
    is_ids = all("int" in dtype for _, dtype in source.inputs.values())
    if shapes and is_ids and all(shape is not None and len(shape) == 1 for shape in shapes):
        _refuse(path, "ids of texts", mean_std=mean_std)
        return read_held_out((_ids(source, path, examples, vocabulary),)).student
    inputs = ", ".join(f"{name} {shape}" for name, (shape, _) in source.inputs.items())
    raise ValueError(
        "model must read texts, their ids, or pictures (height, width, channels). Received: "
        f"{path}, which reads {inputs or 'unknown inputs'}. Put its preprocessor in front of it."
    )


def _refuse(path, reads, **given):
    """Raises `ValueError` for an argument that would change nothing."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"{name} must be left out for a model that reads {reads}. Received: "
                f"{name}={value!r} for {printable(path)}."
            )


def _ids(source, path, texts, vocabulary):
    """Ids of texts by the names of the inputs, of a BERT's three or of a single one."""
    length = next(shape[0] for shape, _ in source.inputs.values()) or _SEQUENCE_LENGTH
    ids = _tokenizer(path, vocabulary, length)(texts)
    if path.suffix == ".keras":
        # Here it is cut to the longest text, as in training.
        ids = ids[:, : max(1, int((ids != 0).sum(axis=1).max()))]
    by_name = {}
    for name in source.inputs:
        if "mask" in name:
            by_name[name] = (ids != 0).astype("int32")
        elif "type" in name or "segment" in name:
            by_name[name] = np.zeros_like(ids)
        else:
            by_name[name] = ids
    return by_name if len(by_name) > 1 else ids


def _tokenizer(path, vocabulary, length):
    if vocabulary is None:
        beside = path.parent / _PHONE_FILE
        vocabulary = beside if path.suffix == ".keras" and beside.is_file() else path
    vocabulary = pathlib.Path(vocabulary)
    if vocabulary.suffix == ".tflite":
        tokenize = app_tokenizer(vocabulary, length, empty_is_unknown=path.suffix == ".keras")
        if tokenize is not None:
            return tokenize
    elif vocabulary != path:
        learned = WordPieceVocabulary.from_teacher(vocabulary, length)
        return lambda texts: learned(texts).numpy()
    raise ValueError(
        "vocabulary must be given for a model that reads ids and has no tokenizer with it: a "
        "TFLite file with the tokenizer, such as that of the same job, or a BERT's vocabulary "
        f"file. Received: {printable(vocabulary)}, which has none."
    )


def _pixels(source, path, pictures, mean_std):
    ((shape, dtype),) = source.inputs.values()
    height, width, channels = shape
    if channels not in (1, 3):
        raise ValueError(
            "model must read pictures with 1 or 3 channels on the last axis. Received: "
            f"{path}, which reads {shape} for each."
        )
    if dtype == "uint8":
        _refuse(path, "whole pixels", mean_std=mean_std)
    if mean_std is None and path.suffix == ".tflite":
        mean_std = read_normalization(path)
    mean, std = mean_std or (0.0, 1.0)
    size = None if None in (height, width) else (height, width)
    pixels = []
    for picture in pictures:
        try:
            found = read_picture(pathlib.Path(picture), channels)
        except ValueError as error:
            raise ValueError(f"{printable(picture)} must be a picture. Received: {error}") from None
        pixels.append(scaled(found[None], size)[0])
    if len({one.shape for one in pixels}) > 1:
        raise ValueError(
            "Pictures must have one size for a model that reads any. Received: "
            f"{sorted({one.shape[:2] for one in pixels})}. Scale them, or predict one by one."
        )
    pixels = np.stack(pixels)
    if dtype == "uint8":
        return pixels
    return (pixels - np.asarray(mean, "float32")) / np.asarray(std, "float32")


def _log_probabilities(source, outputs, from_logits, path):
    domain = _domain(source, outputs, from_logits, path)
    is_alone = domain == SIGMOID or (domain == LOGITS and source.has_several_labels)
    if outputs.shape[1] == 1 or not is_alone:
        return log_probabilities(outputs, domain)
    # Each class is a question of its own, so that the probabilities do not add up to 1.
    outputs = np.asarray(outputs, "float64")
    with np.errstate(divide="ignore"):
        return -np.logaddexp(0, -outputs) if domain == LOGITS else np.log(outputs)


def _domain(source, outputs, from_logits, path):
    # One for each class of a sigmoid, or all together of a softmax: their sums tell.
    is_sum_of_one = outputs.shape[1] > 1 and are_probabilities(outputs, None)
    if from_logits is not None:
        return LOGITS if from_logits else (SOFTMAX if is_sum_of_one else SIGMOID)
    is_unknown = source.domain in (None, OTHER) and not is_sum_of_one
    if is_unknown and in_range_of_probabilities(outputs.min(), outputs.max()):
        raise ValueError(
            "from_logits must say whether the model's outputs are logits (True) or probabilities "
            f"(False). Received: {path}, whose last layer does not show it."
        )
    return source.domain


def _names(names, logs, path):
    num_classes = logs.shape[1]
    if names is None:
        raise ValueError(
            "class_names must be given for a model that does not name its classes: "
            f"{num_classes} names, in the order of its outputs. Received: {path}, without names."
        )
    check_class_names(list(names))
    if len(names) != num_classes:
        raise ValueError(
            f"class_names must be {num_classes} names, one for each output of the model. "
            f"Received: {len(names)} names"
        )
    return tuple(names)
