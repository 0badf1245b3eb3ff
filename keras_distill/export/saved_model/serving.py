"""Other files that TensorFlow Serving reads: warm-up requests and configurations."""

import csv
import io
import pathlib
import re
import shlex

import numpy as np
import tensorflow as tf
from google.protobuf import text_encoding

from keras_distill._arguments.checks import check_rising
from keras_distill._arguments.imports import import_module
from keras_distill._files.destination import replaced_file

_WARMUP_FILE = pathlib.Path("assets.extra") / "tf_serving_warmup_requests"
# TensorFlow Serving refuses a file with more records.
_MAX_WARMUP_RECORDS = 1000
# Largest size of one request, in largest batches.
_MAX_SPLIT = 64
_MODELS, _BATCHING = "models.config", "batching.config"


def check_can_warm_up():
    """Returns the module of warm-up requests; raises `ImportError` unless it is installed."""
    return import_module("tensorflow_serving.apis.prediction_log_pb2")


def write_warmup(folder, model_name, inputs, batch_sizes=()):
    """Writes warm-up requests, which a server replays when it loads a version.

    Args:
        folder: The version's folder.
        model_name: The model's name on the server.
        inputs: Arrays by name. Each example is a request; beyond 1000 requests, the last
            examples are left out.
        batch_sizes: Sizes of further requests, each with this number of examples.
    """
    prediction_log = check_can_warm_up()
    path = pathlib.Path(folder) / _WARMUP_FILE
    path.parent.mkdir()
    num_examples = len(next(iter(inputs.values())))
    sizes = [size for size in batch_sizes if size > 1]
    requests = [np.arange(size) % num_examples for size in sizes]
    requests += [[i] for i in range(min(num_examples, _MAX_WARMUP_RECORDS - len(sizes)))]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for places in requests:
            log = prediction_log.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = model_name
            request.model_spec.signature_name = "serving_default"
            for name, values in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values[places]))
            writer.write(log.SerializeToString())


def batching_config(batch_sizes):
    """The text of a batching configuration.

    A request may be larger than the largest batch: the server splits it.
    """
    sizes = check_rising("batch_sizes", batch_sizes)
    lines = [
        # Largest size of a request.
        f"max_batch_size {{ value: {_MAX_SPLIT * sizes[-1]} }}",
        "enable_large_batch_splitting { value: true }",
        f"max_execution_batch_size {{ value: {sizes[-1]} }}",
        # The queue has room for two of the largest requests.
        f"max_enqueued_batches {{ value: {2 * _MAX_SPLIT} }}",
        "batch_timeout_micros { value: 2000 }",
        *(f"allowed_batch_sizes: {size}" for size in sizes),
    ]
    return "\n".join(lines) + "\n"


def write_configs(directory, batching=None):
    """Writes models.config, and batching.config if there is one, into a model's folder."""
    directory = pathlib.Path(directory)
    name = directory.resolve().name
    escaped = text_encoding.CEscape(name, as_utf8=False)
    _replace(
        directory / _MODELS,
        "model_config_list {\n"
        f'  config {{ name: "{escaped}" base_path: "/models/{escaped}" '
        'model_platform: "tensorflow" }\n'
        "}\n",
    )
    if batching is not None:
        _replace(directory / _BATCHING, batching)


def check_model_name(directory):
    """Raises `ValueError` unless a folder's name can be a model's name on a server."""
    name = pathlib.Path(directory).resolve().name
    try:
        is_text = bool(name.encode("utf-8"))
    except UnicodeEncodeError:
        is_text = False
    if not is_text:
        raise ValueError(
            "directory must have a name in UTF-8: it is the model's name on the server. Received: "
            f"directory={str(directory)!r}"
        )


def _replace(path, text):
    with replaced_file(path) as written:
        written.write_text(text, encoding="utf-8")


def version_folders(directory):
    """The folders of a model's versions, found as by a server, the newest last."""
    folders = [path for path in directory.iterdir() if re.fullmatch("[0-9]+", path.name)]
    return sorted((path for path in folders if path.is_dir()), key=lambda path: int(path.name))


def serving_command(directory):
    """The command that serves a model's folder with Docker: REST at 8501, gRPC at 8500.

    Args:
        directory: The folder given to `export_saved_model`.

    Returns:
        The command, a str for a POSIX shell, in which the folder's name is quoted.

    Raises:
        FileNotFoundError: If the folder has no models.config.
    """
    directory = pathlib.Path(directory).resolve()
    if not (directory / _MODELS).is_file():
        raise FileNotFoundError(
            f"directory must be a folder that export_saved_model wrote. Received: {directory}, "
            f"which has no {_MODELS}."
        )
    inside = f"/models/{directory.name}"
    # Docker splits --mount at commas, like a line of CSV, and -v at colons.
    mount = io.StringIO()
    parts = ["type=bind", f"source={directory}", f"target={inside}", "readonly"]
    csv.writer(mount, lineterminator="\n").writerow(parts)
    command = ["docker", "run", "--rm", "-p", "8500:8500", "-p", "8501:8501"]
    command += ["--mount", mount.getvalue().removesuffix("\n"), "tensorflow/serving"]
    command += [f"--model_config_file={inside}/{_MODELS}"]
    if (directory / _BATCHING).is_file():
        command += ["--enable_batching", f"--batching_parameters_file={inside}/{_BATCHING}"]
    return shlex.join(command)
