"""TFLite export: one file for the LiteRT interpreter of a phone."""

import dataclasses
import os
import pathlib
import re
import tempfile

import numpy as np
import tensorflow as tf

from keras_distill.arguments import check_integers
from keras_distill.export import parity
from keras_distill.export.saved_model import ENDPOINT
from keras_distill.export.saved_model import write_saved_model
from keras_distill.export.signature import NamedModel
from keras_distill.imports import import_module

_QUANTIZATIONS = ("none", "dynamic")
_MAX_EXAMPLES = 100
_NUM_GENERATED = 32
# The figures behind them are in the docstring of export_tflite.
_FLOAT_TOLERANCE = 1e-4
_DYNAMIC_TOLERANCE = 0.05
_MIN_AGREEMENT = 0.9


@dataclasses.dataclass(frozen=True)
class TFLiteReport:
    """What `export_tflite` wrote, and how far it is from Keras.

    Args:
        path: The file, a `pathlib.Path`.
        num_bytes: Its size.
        quantization: The mode it was written with.
        max_difference: Largest absolute difference from Keras, over all outputs.
        top1_agreement: Share of the rows in which the largest class is Keras's (of
            integer outputs: share of equal values), in the output where it is lowest;
            None if no output has classes.
        num_examples: Number of examples compared.
    """

    path: pathlib.Path
    num_bytes: int
    quantization: str
    max_difference: float
    top1_agreement: float | None
    num_examples: int


def export_tflite(
    model, path, quantization="none", *, representative_data=None, sequence_length=None
):
    """Writes a TFLite file, checked against Keras in the LiteRT interpreter first.

    The batch size is 1, all shapes are fixed, and only TFLite's builtin operations are
    used, so that every stock interpreter runs the file. The signature `serving_default`
    has the names that `export_saved_model` gives.

    The file is refused if an output is NaN or infinite, or too far from Keras:

    ```
    "none":     max |TFLite - Keras| <= 1e-4 * max(1, max |Keras|)
    "dynamic":  max |TFLite - Keras| <= 0.05 * (max Keras - min Keras) + the above,
                and on representative_data, for outputs with a last axis of 2 or more,
                the same top-1 in 90 % of the rows (one row may always differ)
    ```

    each output by itself, over all examples. Integer outputs must be equal; with
    "dynamic", equal in 90 %. The limits leave room over what good files do: CNN,
    MobileNet, TextCNN, BiLSTM and transformer, untrained and trained, differed by up to
    5e-7 ("none") and 0.012 ("dynamic") of the range, with 97 % to 100 % the same top-1.

    Args:
        model: A `keras.Model`: Functional, Sequential and built, or subclassed and called
            once with a `keras.Input`.
        path: The file to write. Its folder is made; an older file is replaced, and only
            by one that passed.
        quantization: "none" for float32; "dynamic" for 8-bit weights, a quarter of the
            size, with activations quantized on the fly (TFLite leaves weights of fewer
            than 1024 numbers in float32). Defaults to "none".
        representative_data: Real inputs to compare on: an array, dict or list as the
            model takes it, with a batch axis, or a batched `tf.data.Dataset` of x or
            `(x, y)`. The first 100 examples are used. None: 32 generated examples; real
            ones are far better, because a trained model may do anything on noise.
        sequence_length: The size, in the file, of every dimension that the model leaves
            open, such as the length of a text; the caller of the file fills shorter texts
            up with zeros, as is done here with `representative_data`. None for models
            with fixed shapes.

    Returns:
        A `TFLiteReport`.

    Raises:
        ValueError: If an argument or the model does not fit, TFLite has no builtin
            operations for the model, the model answers differently from run to run, or
            the file disagrees with Keras. Nothing is written.
        ImportError: If ai-edge-litert is not installed.

    Example:

    ```python
    report = export_tflite(student, "student.tflite", "dynamic", representative_data=x_test)
    print(report.num_bytes, report.max_difference, report.top1_agreement)
    ```
    """
    if quantization not in _QUANTIZATIONS:
        raise ValueError(
            f"quantization must be one of {_QUANTIZATIONS}. Received: quantization={quantization!r}"
        )
    interpreter_class = import_module("ai_edge_litert.interpreter").Interpreter
    if sequence_length is not None:
        check_integers(sequence_length=sequence_length)
    named_model = NamedModel(model, sequence_length)
    _check_convertible(named_model)
    inputs = parity.check_inputs(named_model, representative_data, _NUM_GENERATED, _MAX_EXAMPLES)
    expected = parity.keras_outputs(named_model, inputs)
    content = _convert(named_model, quantization)
    outputs = parity.compare_outputs(expected, _run(interpreter_class, content, inputs))
    _check_outputs(outputs, quantization, is_real=representative_data is not None)
    path = pathlib.Path(path)
    _write(path, content)
    agreements = [o.top1_agreement for o in outputs if o.top1_agreement is not None]
    return TFLiteReport(
        path=path,
        num_bytes=len(content),
        quantization=quantization,
        max_difference=max(output.max_difference for output in outputs),
        top1_agreement=min(agreements, default=None),
        num_examples=len(next(iter(inputs.values()))),
    )


def _check_convertible(named_model):
    for name, spec in named_model.input_specs().items():
        if spec.dtype == tf.string:
            raise ValueError(
                f"A TFLite file cannot read strings. Received: the string input {name!r}. Export "
                "the model behind the tokenizer, and tokenize outside of the file."
            )
        if None in spec.shape[1:]:
            raise ValueError(
                "A TFLite file has fixed shapes; only the batch may be unknown. Received: the "
                f"input {name!r} of shape {tuple(spec.shape)}. Give sequence_length, such as "
                "sequence_length=64, or build the student with a fixed length."
            )
    if dtype := parity.half_precision(named_model.model):
        raise ValueError(
            f"TFLite has no operations in {dtype}. Received: a model that computes in {dtype}. "
            "Build the same student under keras.config.set_dtype_policy('float32'), copy the "
            "weights with set_weights(model.get_weights()), and export that one."
        )


def _convert(named_model, quantization):
    with tempfile.TemporaryDirectory() as folder:
        written = os.path.join(folder, "saved_model")
        # With an open batch, LSTMs get operations that no stock interpreter has.
        write_saved_model(named_model, written, batch_size=1)
        converter = tf.lite.TFLiteConverter.from_saved_model(written)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantization == "dynamic":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        try:
            return converter.convert()
        except Exception as error:
            found = re.search(r"(?:TF Select|Custom) ops: (.*)", str(error))
            reason = f"It has none for: {found[1]}" if found else f"The converter says: {error}"
            raise ValueError(
                "The model must convert to TFLite's builtin operations, which every interpreter "
                f"has. {reason}. Replace the layers that use them."
            ) from error


def _run(interpreter_class, content, inputs):
    # The interpreter reads the signature's tensors where it stands: keep it alive.
    interpreter = interpreter_class(model_content=content)
    runner = interpreter.get_signature_runner(ENDPOINT)
    num_examples = len(next(iter(inputs.values())))
    rows = [
        runner(**{name: values[i : i + 1] for name, values in inputs.items()})
        for i in range(num_examples)
    ]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _check_outputs(outputs, quantization, is_real):
    for output in outputs:
        limit = output.limit(_FLOAT_TOLERANCE)
        must_agree = quantization == "dynamic" and (is_real or not output.is_float)
        if quantization == "dynamic":
            limit = limit + _DYNAMIC_TOLERANCE * output.span if output.is_float else np.inf
        if output.max_difference > limit:
            raise ValueError(
                f"The TFLite file must agree with Keras to {limit:.3g}. Received, with "
                f"quantization={quantization!r}: {output}. Nothing was written. "
                + _remedy(quantization, is_real)
            )
        if must_agree and output.top1_agreement is not None:
            num_different = round((1 - output.top1_agreement) * output.num_rows)
            if num_different > max(1, (1 - _MIN_AGREEMENT) * output.num_rows):
                raise ValueError(
                    f"The TFLite file must have Keras's top-1 in {_MIN_AGREEMENT:.0%} of the rows. "
                    f"Received, with quantization={quantization!r}: {output}. Nothing was "
                    "written. " + _remedy(quantization, is_real)
                )


def _remedy(quantization, is_real):
    if quantization == "none":
        return "Compare the outputs of parts of the model to find the layer that differs."
    real = "" if is_real else "Compare on real inputs (representative_data), or "
    return real + ("use" if real else "Use") + " quantization='none'."


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the file, so that one rename replaces it.
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        written = pathlib.Path(folder) / path.name
        written.write_bytes(content)
        os.replace(written, path)
