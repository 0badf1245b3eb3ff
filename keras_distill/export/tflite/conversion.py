"""Conversion of Keras models to TFLite, in a separate process."""

import contextlib
import io
import pathlib

import numpy as np

from keras_distill._arguments.imports import import_module
from keras_distill._files.plain_path import temporary_folder
from keras_distill.export.child_process import ChildProcess
from keras_distill.export.child_process import CrashError
from keras_distill.export.saved_model.export import DEFAULT
from keras_distill.export.saved_model.export import write_saved_model
from keras_distill.export.tflite import conversion_process
from keras_distill.export.tflite.compaction import compact
from keras_distill.export.tflite.embedding_lookups import look_up_embeddings
from keras_distill.export.tflite.modes import MODES
from keras_distill.export.tflite.quantizer_rules import embeddings_in_8_bits
from keras_distill.export.tflite.quantizer_rules import kept_in_float
from keras_distill.quantization import int8_calls

_process = ChildProcess(conversion_process.__file__)


def convert_model(named_model, inputs, *, quantization, batch_size, **settings):
    """Returns the bytes of a TFLite file.

    Args:
        named_model: A `NamedModel`.
        inputs: Arrays by name to calibrate on.
        quantization: Name of a mode.
        batch_size: The file's batch size.
        settings: Other arguments of `conversion_process.convert`.

    Raises:
        ValueError: If the model does not convert.
        RuntimeError: If the converter crashes.
    """
    with temporary_folder() as folder:
        folder, mode = pathlib.Path(folder), MODES[quantization]
        with int8_calls(named_model.model) if mode.is_calibrated else contextlib.nullcontext():
            # The batch size is fixed: otherwise LSTMs get operations that no stock interpreter has.
            write_saved_model({DEFAULT: named_model}, folder / "saved_model", batch_size)
        np.savez(folder / "inputs.npz", **inputs)
        path = folder / "model.tflite"
        _convert(
            saved_model=str(folder / "saved_model"),
            path=str(path),
            quantization="none" if mode.recipe else quantization,
            representative_data=str(folder / "inputs.npz"),
            batch_size=batch_size,
            **settings,
        )
        content = path.read_bytes()
    return compact(_quantize_weights(content, mode.recipe) if mode.recipe else content)


def quantizer_modules():
    """Recipes and quantizer of litert-quantizer; raises `ImportError` if it is not installed."""
    return import_module("litert_quantizer.recipe"), import_module("litert_quantizer.quantizer")


def _quantize_weights(content, recipe):
    """Quantizes weights, with a step size for each output of a kernel and each embedding row."""
    recipes, quantizer = quantizer_modules()
    content = look_up_embeddings(content)
    quantizer = quantizer.Quantizer(content)
    rules = [
        *getattr(recipes, recipe)(),
        *embeddings_in_8_bits(content, recipes.dynamic_wi8_afp32()),
        *kept_in_float(content),
    ]
    quantizer.load_quantization_recipe(rules)
    # The quantizer does not pass enable_progress_bar to all of its progress bars.
    with contextlib.redirect_stderr(io.StringIO()):
        result = quantizer.quantize(enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _convert(**request):
    """Runs `conversion_process.convert` in another process.

    Calibration can crash its process. The other process starts with the first
    conversion and is kept for later ones, because its start takes seconds.
    """
    try:
        answer, _ = _process.ask(**request)
    except CrashError as crash:
        raise RuntimeError(
            f"The converter crashed ({crash.how}). It said last: {crash.said}"
        ) from None
    if "problem" in answer:
        raise ValueError(
            "The model must convert to TFLite's builtin operations, which every interpreter has. "
            f"{answer['problem']}"
        )
