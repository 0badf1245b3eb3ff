"""Conversion of Keras models to TFLite, in a process of its own."""

import atexit
import contextlib
import io
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

import numpy as np

from keras_distill.export import conversion_process
from keras_distill.export.compaction import compact
from keras_distill.export.embedding_lookups import look_up_embeddings
from keras_distill.export.quantization import MODES
from keras_distill.export.saved_model import DEFAULT
from keras_distill.export.saved_model import write_saved_model
from keras_distill.imports import import_module
from keras_distill.int8 import int8_calls

_lock = threading.Lock()
_process = None


def convert_model(named_model, inputs, *, quantization, batch_size, **settings):
    """Returns the bytes of a TFLite file.

    Args:
        named_model: A `NamedModel`.
        inputs: Arrays by name to calibrate on.
        quantization: Name of a mode.
        batch_size: The file's batch size.
        settings: Others of `conversion_process.convert`.

    Raises:
        ValueError: If the model does not convert.
        RuntimeError: If the converter crashes.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder, mode = pathlib.Path(folder), MODES[quantization]
        with int8_calls(named_model.model) if mode.is_calibrated else contextlib.nullcontext():
            # With an open batch, LSTMs get operations that no stock interpreter has.
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
    """One step size for each output of a kernel, and for each row of embeddings."""
    recipes, quantizer = quantizer_modules()
    quantizer = quantizer.Quantizer(look_up_embeddings(content))
    quantizer.load_quantization_recipe(getattr(recipes, recipe)())
    # It does not hand on enable_progress_bar to all of its bars.
    with contextlib.redirect_stderr(io.StringIO()):
        result = quantizer.quantize(enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _convert(**request):
    """Does `conversion_process.convert` in another process.

    Calibration can end the process that it runs in. The other process starts with the
    first conversion and serves those that follow, for it takes seconds to start.
    """
    with _lock:
        process = _running_process()
        process.log.seek(0)
        process.log.truncate()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(_crash(process))
    answer = json.loads(line)
    if "error" in answer:
        raise ValueError(
            "The model must convert to TFLite's builtin operations, which every interpreter has. "
            f"{answer['error']}"
        )


def _running_process():
    global _process
    if _process is None or _process.poll() is not None:
        _process = _start()
    return _process


def _start():
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (it lives as long as the process)
    process = subprocess.Popen(
        # -P: our files beside the script must not be found in place of other packages.
        [sys.executable, "-P", conversion_process.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    process.log = log
    atexit.register(_end, process)
    return process


def _end(process):
    # It ends when its input does.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.stdout.close()
    process.wait()
    process.log.close()


def _crash(process):
    code = process.wait()
    how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    process.log.seek(0)
    last_lines = " | ".join(process.log.read().splitlines()[-3:])
    return f"The converter crashed ({how}). It said last: {last_lines or 'nothing'}"
