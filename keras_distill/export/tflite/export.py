"""TFLite export: one file for the LiteRT interpreter on a phone."""

import dataclasses
import functools
import pathlib
import warnings

import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_rate
from keras_distill._files.destination import check_destination
from keras_distill._files.destination import replaced_file
from keras_distill._keras.layers import flatten_layers
from keras_distill.export import parity
from keras_distill.export.check_inputs import examples_for_check
from keras_distill.export.pixels import check_pixels
from keras_distill.export.rounding_noise import rounding_noise
from keras_distill.export.signature import NamedModel
from keras_distill.export.tflite import calibration
from keras_distill.export.tflite import trusted_file
from keras_distill.export.tflite.conversion import convert_model
from keras_distill.export.tflite.conversion import quantizer_modules
from keras_distill.export.tflite.layer_differences import describe_worst_layer
from keras_distill.export.tflite.limits import check_outputs
from keras_distill.export.tflite.limits import in_one_unit
from keras_distill.export.tflite.metadata import TextMetadata
from keras_distill.export.tflite.metadata import add_metadata
from keras_distill.export.tflite.modes import MODES
from keras_distill.export.tflite.modes import check_quantizable

_MAX_EXAMPLES = 100
_NUM_GENERATED = 32
_ANY = "any"


@dataclasses.dataclass(frozen=True)
class TFLiteReport:
    """The result of `export_tflite`, with the file's difference from Keras.

    Args:
        path: The file, a `pathlib.Path`.
        num_bytes: Size of the file.
        quantization: The file's quantization mode.
        max_difference: Largest absolute difference from Keras, over all outputs; None for
            a file that could not be checked.
        max_relative_difference: Largest difference divided by its output's range, which is
            Keras's largest value minus its smallest. The tolerance applies to this.
        top1_agreement: Share of the rows with the same top-1 class as Keras (for integer
            outputs: share of equal values), in the output where it is lowest;
            None if no output has classes.
        num_examples: Number of examples compared.
        accuracy: Accuracy of the file; None without labels.
        keras_accuracy: Accuracy of the Keras model; None without labels.
        select_tf_ops: The file's operations that need TensorFlow's Flex delegate.
        num_calibrated: Number of other examples that calibrated the file; 0 for modes
            without calibration.
        max_column_error: Root mean square of the difference from Keras, divided by the
            standard deviation of Keras's values, in the column of the last axis where it is
            largest; None if no output has several columns.
        notes: Sentences on what this check could not show; they were also warnings.
    """

    path: pathlib.Path
    num_bytes: int
    quantization: str
    max_difference: float | None = None
    max_relative_difference: float | None = None
    top1_agreement: float | None = None
    num_examples: int = 0
    accuracy: float | None = None
    keras_accuracy: float | None = None
    select_tf_ops: tuple = ()
    num_calibrated: int = 0
    max_column_error: float | None = None
    notes: tuple = ()


def export_tflite(
    model,
    path,
    *,
    quantization="none",
    representative_data=None,
    batch_size=1,
    sequence_length=None,
    metadata=None,
    tolerance=None,
    integer_io=False,
    allow_select_tf_ops=False,
):
    """Writes a TFLite file, after a check against Keras in the LiteRT interpreter.

    By default, all shapes are fixed and only TFLite's builtin operations
    are used, so that every stock interpreter can run the file. The signature
    `serving_default` has the same names as from `export_saved_model`.

    The file is refused if an output is NaN or infinite, or too far from Keras:

    ```
    max |TFLite - Keras| <= 1e-4 * max |Keras| + noise + tolerance * (max Keras - min Keras)
    ```

    This applies to each output by itself, over all examples. The noise is ten times the change of
    the outputs when weights and inputs change by one step of float32. With representative_data, a
    quantized file is also refused if the root mean square error of a column of the last axis is
    more than twice the tolerance times the column's standard deviation (except for probabilities).
    It is also refused if it changes more than 10 % of the answers: the top-1 of outputs with a
    last axis of 2 or more, on representative_data, and integer outputs (one row may always differ).

    | quantization | weights | activations | tolerance | size |
    |---|---|---|---|---|
    | "none" | float32 | float32 | 0 | 1 |
    | "float16" | float16 | float32 | 0.01 | 1/2 |
    | "dynamic" | 8 bits | float32, 8 bits inside of products | 0.05 | 1/4 |
    | "int8" | 8 bits | 8 bits | 0.15 | 1/4 |
    | "int16x8" | 8 bits | 16 bits | 0.05 | 1/4 |
    | "int4" | 4 bits | as "dynamic" | 0.3 | 1/8 |

    Each output of a kernel has its own step size; in "dynamic" and "int4" each row of
    embeddings, too. int8 and int16x8 need representative_data and do not support loops: build RNNs
    with unroll=True. int16x8 does not support embeddings and is slow on phones without hardware
    for it.

    The conversion runs in a separate process: if the converter crashes, you get an error.

    Args:
        model: A `keras.Model`: Functional, Sequential and built, or subclassed and called
            once with a `keras.Input`.
        path: The file to write. Its folder is made. An older file is replaced only by a
            file that passed the check.
        quantization: A mode of the table. Defaults to "none".
        representative_data: Real inputs to compare on, and to calibrate with: an array,
            dict or list as the model takes it, with a batch axis, or a batched
            `tf.data.Dataset` of x or `(x, y)`. With labels y of a single output (the class of
            each row, -1 for no label, or one-hot rows), the report has both accuracies. One
            sigmoid is class 1 above 0.5; one logit above 0, if labels are integers or the model
            was trained by a binary loss. 100 examples are drawn from an array or from the first
            10,000 examples of a dataset; int8 and int16x8 use 300: 200 calibrate, and the other
            100 check. None means 32 generated examples (pixels if the model begins with a
            Rescaling layer). Real examples are far better, because the outputs of a trained model
            on noise are unpredictable.
        batch_size: Number of examples that the file reads at once. Defaults to 1.
        sequence_length: The size, in the file, of every dimension that the model leaves
            open, such as the length of a text. The app must pad shorter texts with zeros;
            the same is done here with `representative_data`. "any" leaves these dimensions
            open: the app resizes the inputs, and the file is checked at two lengths.
            None is for models with fixed shapes.
        metadata: `ImageMetadata` or `TextMetadata`, for apps that read it, such as MediaPipe's.
            The file then has the inputs that these apps give, probabilities as its output, and
            the sequence_length of TextMetadata.
        tolerance: A tolerance that replaces the one in the table.
        integer_io: With "int8" and "int16x8", whether the file's float inputs and outputs
            become integers, for hardware without floats. Defaults to False.
        allow_select_tf_ops: Whether the file may contain TensorFlow operations,
            which run only in an interpreter with the Flex delegate. No Python package has
            this delegate, so such a file is written unchecked, with a warning. Defaults to False.

    Returns:
        A `TFLiteReport`.

    Raises:
        ValueError: If an argument or the model does not fit, TFLite has no builtin
            operations for the model, the model's outputs change from run to run, or
            the file disagrees with Keras. Nothing is written.
        RuntimeError: If the converter crashes. Nothing is written.
        ImportError: If ai-edge-litert is not installed; for "dynamic" and "int4",
            litert-quantizer.

    Example:

    ```python
    report = export_tflite(
        student, "student.tflite", quantization="dynamic", representative_data=x_test
    )
    print(report.num_bytes, report.max_difference, report.top1_agreement)
    ```
    """
    batch_size = check_integer("batch_size", batch_size)
    prepared = check_tflite(
        model,
        path,
        quantization=quantization,
        representative_data=representative_data,
        batch_size=batch_size,
        sequence_length=sequence_length,
        metadata=metadata,
        tolerance=tolerance,
        integer_io=integer_io,
    )
    path, named_model, inputs = prepared.path, prepared.named_model, prepared.inputs
    expected = prepared.expected
    is_real, num_calibrated = representative_data is not None, 0
    if MODES[quantization].is_calibrated:
        num_calibrated = len(next(iter(prepared.calibrating.values())))
    settings = {
        "quantization": quantization,
        "batch_size": batch_size,
        "integer_io": integer_io,
        "allow_select_tf_ops": allow_select_tf_ops,
    }
    content = convert_model(named_model, prepared.calibrating, **settings)
    if metadata is not None:
        content = add_metadata(content, metadata)
    interpreter = trusted_file.open_file(content)
    report = {"path": path, "num_bytes": len(content), "quantization": quantization}
    if select_tf_ops := trusted_file.select_tf_ops(interpreter):
        warnings.warn(
            f"{path} is written unchecked: its operations {', '.join(select_tf_ops)} need the Flex "
            "delegate, which LiteRT's Python package does not have.",
            stacklevel=2,
        )
        _write(path, content)
        return TFLiteReport(**report, select_tf_ops=select_tf_ops)
    found = trusted_file.run_file(interpreter, inputs, batch_size)
    outputs = parity.compare_outputs(expected, found)
    if prepared.is_open:
        shorter = named_model.halve(inputs)
        outputs += parity.compare_outputs(
            parity.keras_outputs(named_model, shorter),
            trusted_file.run_file(interpreter, shorter, batch_size),
        )
    try:
        check_outputs(
            outputs,
            quantization,
            tolerance,
            is_real,
            shared_unit=in_one_unit(named_model, expected),
            noise=functools.cache(lambda: rounding_noise(named_model, inputs, expected)),
        )
    except ValueError as error:
        worst = describe_worst_layer(*prepared.given, settings)
        raise ValueError(f"{error} {worst}") from None
    notes = ()
    if is_real and quantization != "none":
        notes = tuple(calibration.doubts(inputs, expected, quantization, num_calibrated))
    for note in notes:
        warnings.warn(note, stacklevel=2)
    _write(path, content)
    return TFLiteReport(
        **report,
        max_difference=max(output.max_difference for output in outputs),
        max_relative_difference=max(output.relative_difference for output in outputs),
        top1_agreement=min(
            (o.top1_agreement for o in outputs if o.top1_agreement is not None), default=None
        ),
        num_examples=len(next(iter(inputs.values()))),
        accuracy=parity.accuracy(prepared.labels, found, prepared.boundary),
        keras_accuracy=parity.accuracy(prepared.labels, expected, prepared.boundary),
        num_calibrated=num_calibrated,
        max_column_error=max(
            (o.column_error for o in outputs if o.column_error is not None), default=None
        ),
        notes=notes,
    )


def check_tflite(
    model,
    path,
    *,
    quantization="none",
    representative_data=None,
    batch_size=1,
    sequence_length=None,
    metadata=None,
    tolerance=None,
    integer_io=False,
):
    """Raises the errors of `export_tflite` that need no conversion; the model may be untrained.

    Args:
        model, path, quantization, representative_data, batch_size, sequence_length, metadata,
        tolerance, integer_io: As for `export_tflite`.

    Returns:
        The prepared model and examples for the export.
    """
    check_integer("batch_size", batch_size)
    path = pathlib.Path(path)
    check_destination("path", path, "file")
    if isinstance(metadata, TextMetadata):
        if sequence_length not in (None, metadata.sequence_length):
            raise ValueError(
                "sequence_length must be None or the metadata's sequence_length. Received: "
                f"{sequence_length=}, and {metadata.sequence_length} of the metadata"
            )
        sequence_length = metadata.sequence_length
    is_open = sequence_length == _ANY
    if is_open:
        sequence_length = None
    sequence_length = check_integer("sequence_length", sequence_length, optional=True)
    with_metadata = model if metadata is None else metadata.prepare(model)
    named_model = NamedModel(model, sequence_length)
    check_quantizable(model, quantization, representative_data is not None)
    if tolerance is not None:
        check_rate("tolerance", tolerance)
    _check_integer_io(integer_io, quantization)
    trusted_file.interpreter_class()
    if MODES[quantization].recipe is not None:
        quantizer_modules()
    _check_convertible(named_model, is_open)
    is_calibrated, is_real = MODES[quantization].is_calibrated, representative_data is not None
    inputs, labels = examples_for_check(
        named_model,
        representative_data,
        _NUM_GENERATED,
        3 * _MAX_EXAMPLES if is_calibrated else _MAX_EXAMPLES,
        metadata,
    )
    if is_real:
        check_pixels(named_model, inputs, metadata)
    calibrating = inputs
    if is_calibrated:
        outputs = parity.keras_outputs(named_model, inputs)
        calibrating, inputs, labels = calibration.split(inputs, labels, outputs, quantization)
    given = named_model, calibrating, inputs
    if metadata is not None:
        named_model = NamedModel(with_metadata)
        calibrating, inputs = (
            metadata.prepare_inputs(*examples.values()) for examples in (calibrating, inputs)
        )
    expected = parity.keras_outputs(named_model, inputs)
    return _Prepared(
        path=path,
        named_model=named_model,
        calibrating=calibrating,
        inputs=inputs,
        labels=parity.labels_of_rows(labels, expected),
        boundary=parity.threshold(model, labels),
        given=given,
        is_open=is_open,
        expected=expected,
    )


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """The model that `export_tflite` converts, and the data for its comparison."""

    path: pathlib.Path
    named_model: NamedModel
    calibrating: dict
    inputs: dict
    labels: np.ndarray | None
    boundary: float | None
    given: tuple
    is_open: bool
    expected: dict


def _check_integer_io(integer_io, quantization):
    if integer_io and not MODES[quantization].is_calibrated:
        raise ValueError(
            "integer_io=True needs integer activations: quantization='int8' or 'int16x8'. "
            f"Received: quantization={quantization!r}"
        )


def _check_convertible(named_model, is_open):
    for name, spec in named_model.input_specs().items():
        if spec.dtype == tf.string:
            raise ValueError(
                f"A TFLite file cannot read strings. Received: the string input {name!r}. Export "
                "the model behind the tokenizer, and tokenize outside of the file."
            )
        if None in spec.shape[1:] and not is_open:
            raise ValueError(
                "Most apps read files with fixed shapes. Received: the input "
                f"{name!r} of shape {tuple(spec.shape)}. Give sequence_length, such as "
                "sequence_length=64, or 'any' if the app resizes the inputs before each run."
            )
    if dtype := parity.half_precision(named_model.model):
        raise ValueError(
            f"TFLite has no operations in {dtype}. Received: a model that computes in {dtype}. "
            "Build the same student under keras.config.set_dtype_policy('float32'), copy the "
            "weights with set_weights(model.get_weights()), and export that one."
        )
    layers = flatten_layers(named_model.model)
    if stateful := [layer.name for layer in layers if getattr(layer, "stateful", False)]:
        raise ValueError(
            "A TFLite file keeps no state between its calls. Received: the stateful layers "
            f"{stateful}. Build them with stateful=False, or make the state an input and an output."
        )


def _write(path, content):
    with replaced_file(path) as written:
        written.write_bytes(content)
