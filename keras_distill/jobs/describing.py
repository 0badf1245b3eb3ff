"""Describes files and folders: those that this package writes, and any SavedModel."""

import dataclasses
import pathlib

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_distill._arguments.printable import printable
from keras_distill._files.json_files import read_json_object
from keras_distill._keras.model_files import errors_that_name
from keras_distill.export.saved_model.serving import version_folders
from keras_distill.export.tflite.description import describe_file
from keras_distill.store.manifest import read_manifest

_GRAPH = "saved_model.pb"
# Results of a job, in the order in which it writes them.
_RESULTS = ("answers", "alone.keras", "distilled.keras", "student.tflite", "serving", "report.html")
_MAX_LISTED = 20
_MAX_LETTERS = 120


@dataclasses.dataclass(frozen=True)
class FolderDescription:
    """The result of `describe` for a folder; as a str, a few lines of text.

    Args:
        path: The folder.
        kind: Kind of the folder, in words.
        facts: Contents of the folder: dict from titles to tuples of lines.
    """

    path: pathlib.Path
    kind: str
    facts: dict

    def __str__(self):
        lines = [f"{printable(self.path)}, {self.kind}"]
        for title, found in self.facts.items():
            lines += [printable(title), *(f"  {printable(line)}" for line in _first(found))]
        return "\n".join(lines)


def describe(path):
    """Describes a TFLite file, or a folder of a job, a training, a store, or a SavedModel.

    Nothing in the files is run. For a TFLite file you get its inputs and outputs; for a SavedModel
    those of its signatures; for a server's folder with versions of a SavedModel, the list of
    versions and the newest one; for a store, its contents; for the folder of a job or of
    `fit_stages`, the settings and the finished parts.

    Args:
        path: The file, with one signature or none, or the folder; of any origin.

    Returns:
        A `TFLiteDescription` or a `FolderDescription`; as a str, a page of text.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If it is none of these, or damaged.
        RuntimeError: If LiteRT, which runs in a separate process, crashes or does not end.
        ImportError: If ai-edge-litert is not installed.

    Example:

    ```python
    print(kd.describe("student.tflite"))
    print(kd.describe("out"))
    ```
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        return describe_file(path)
    for kind, read in _KINDS.items():
        if (facts := read(path)) is not None:
            return FolderDescription(path, kind, facts)
    inside = sorted(p for p in path.iterdir() if p.suffix == ".tflite")
    raise ValueError(
        "path must be a TFLite file, a SavedModel, a folder with versions of one, a TeacherStore, "
        f"or the folder of a job. Received: {printable(path)}, which is a folder with none of "
        f"{_GRAPH}, 1/{_GRAPH}, manifest.json, job.json and training.json."
        + (f" Take a file in it: {printable(inside[0])}" if inside else "")
    )


def _job(path):
    return _run(path, "job.json", ("data", "vocabulary"), _RESULTS)


def _training(path):
    return _run(path, "training.json", ("student", "teacher"), ())


def _run(path, name, fingerprints, results):
    """Settings and files of a run that can be resumed."""
    if not (path / name).is_file():
        return None
    settings = read_json_object(path / name)
    lines = [f"{key}: {value}" for key, value in settings.items() if key not in fingerprints]
    found = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    facts = {"settings": tuple(lines), "files": tuple(map(_sized, found))}
    missing = [result for result in results if not (path / result).exists()]
    if missing:
        facts["not there yet"] = tuple(missing)
    return facts


def _sized(file):
    return f"{file.name}: {file.stat().st_size:,} bytes" if file.is_file() else f"{file.name}/"


def _store(path):
    manifest = read_manifest(path)
    if manifest is None:
        return None
    lengths = f", the {manifest.top_k} best of each" if manifest.top_k else ""
    outputs = [
        f"{name}: {manifest.dtype} {_sizes(column['shape'])}, {manifest.domain(name) or 'numbers'}"
        for name, column in manifest.columns.items()
    ]
    facts = {
        "examples": (f"{manifest.num_examples:,}{lengths}",),
        "answers": tuple(outputs),
        "what the teacher read": tuple(
            f"{name or 'x'}: {dtype} {_sizes(shape)}" for name, dtype, shape in manifest.example
        ),
    }
    if manifest.class_names:
        facts["classes"] = tuple(manifest.class_names)
    if not manifest.is_complete:
        facts["not complete"] = ("The same TeacherStore.build() goes on with it.",)
    return facts


def _sizes(shape):
    # Open sizes are -1, as in the description of a TFLite file.
    return [-1 if size is None else size for size in shape]


def _saved_model(path):
    graph = path / _GRAPH
    if not graph.is_file():
        return None
    facts = {}
    with errors_that_name(graph, "It is damaged, or something else."):
        found = saved_model_pb2.SavedModel.FromString(graph.read_bytes())
        signatures = {k: v for m in found.meta_graphs for k, v in sorted(m.signature_def.items())}
        for name, signature in signatures.items():
            # Names of TensorFlow's internal signatures begin so.
            if not name.startswith("__"):
                facts[f"inputs of {name}"] = _tensors(signature.inputs)
                facts[f"outputs of {name}"] = _tensors(signature.outputs)
    return facts or {"signatures": ("none: it is called by a program",)}


def _tensors(signature):
    return tuple(f"{name}: {_tensor(info)}" for name, info in sorted(signature.items()))


def _tensor(info):
    dtype, shape = tf.dtypes.as_dtype(info.dtype).name, info.tensor_shape
    return f"{dtype} {'of any shape' if shape.unknown_rank else [dim.size for dim in shape.dim]}"


def _versions(path):
    folders = version_folders(path)
    if not folders:
        return None
    newest = folders[-1]
    facts = {"versions": tuple(folder.name for folder in folders)}
    return {**facts, **(_saved_model(newest) or {newest.name: (f"it has no {_GRAPH}",)})}


_KINDS = {
    "the folder of a job": _job,
    "the folder of a training in stages": _training,
    "a store of a teacher's answers": _store,
    "a SavedModel": _saved_model,
    "versions of a SavedModel, for a server": _versions,
}


def _first(lines):
    more = len(lines) - _MAX_LISTED
    shown = [line if len(line) <= _MAX_LETTERS else f"{line[:_MAX_LETTERS]}…" for line in lines]
    return shown if more <= 0 else [*shown[:_MAX_LISTED], f"and {more:,} more"]
