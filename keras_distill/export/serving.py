"""What TensorFlow Serving reads beside a model: warm-up requests and configurations."""

import pathlib

import tensorflow as tf

from keras_distill.arguments import check_integers
from keras_distill.destination import replaced_file
from keras_distill.imports import import_module

_WARMUP_FILE = pathlib.Path("assets.extra") / "tf_serving_warmup_requests"
# Serving refuses a file with more.
_MAX_WARMUP_RECORDS = 1000
_MODELS, _BATCHING = "models.config", "batching.config"


def check_can_warm_up():
    """Returns the module of warm-up requests; raises `ImportError` unless it is installed."""
    return import_module("tensorflow_serving.apis.prediction_log_pb2")


def write_warmup(folder, model_name, inputs):
    """Writes requests of one example each, which a server replays when it loads a version.

    Args:
        folder: The version's folder.
        model_name: The model's name on the server.
        inputs: Arrays by name; of more than 1000 examples the first 1000 count.
    """
    prediction_log = check_can_warm_up()
    path = pathlib.Path(folder) / _WARMUP_FILE
    path.parent.mkdir()
    num_examples = len(next(iter(inputs.values())))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for i in range(min(num_examples, _MAX_WARMUP_RECORDS)):
            log = prediction_log.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = model_name
            request.model_spec.signature_name = "serving_default"
            for name, values in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values[i : i + 1]))
            writer.write(log.SerializeToString())


def batching_config(batch_sizes):
    """The text of a batching configuration."""
    sizes = list(batch_sizes)
    check_integers(**{f"batch_sizes[{i}]": size for i, size in enumerate(sizes)})
    if not sizes or sizes != sorted(set(sizes)):
        raise ValueError(
            "batch_sizes must be rising integers, such as [1, 8, 32]. "
            f"Received: batch_sizes={batch_sizes!r}"
        )
    lines = [
        f"max_batch_size {{ value: {sizes[-1]} }}",
        "batch_timeout_micros { value: 2000 }",
        *(f"allowed_batch_sizes: {size}" for size in sizes),
    ]
    return "\n".join(lines) + "\n"


def write_configs(directory, batching=None):
    """Writes models.config, and batching.config if there is one, into a model's folder."""
    directory = pathlib.Path(directory)
    name = directory.resolve().name
    _replace(
        directory / _MODELS,
        "model_config_list {\n"
        f'  config {{ name: "{name}" base_path: "/models/{name}" model_platform: "tensorflow" }}\n'
        "}\n",
    )
    if batching is not None:
        _replace(directory / _BATCHING, batching)


def _replace(path, text):
    with replaced_file(path) as written:
        written.write_text(text, encoding="utf-8")


def serving_command(directory):
    """The command that serves a model's folder with Docker: REST at 8501, gRPC at 8500.

    Args:
        directory: The folder given to `export_saved_model`.

    Returns:
        The command, a str.

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
    command = (
        f"docker run --rm -p 8500:8500 -p 8501:8501 -v '{directory}:{inside}:ro' "
        f"tensorflow/serving --model_config_file={inside}/{_MODELS}"
    )
    if (directory / _BATCHING).is_file():
        command += f" --enable_batching --batching_parameters_file={inside}/{_BATCHING}"
    return command
