"""Comparison of an exported model with its Keras model."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from keras_distill._keras.layers import flatten_layers
from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import output_domains
from keras_distill._keras.several_labels import is_taught_yes_or_no

# Relative to the largest value; for half precision, ten roundings.
_TOLERANCES = {None: 1e-5, "float16": 1e-2, "bfloat16": 8e-2}
# A few roundings of float32.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class OutputParity:
    """The difference between one output of an exported model and Keras's.

    Args:
        name: The output's name.
        max_difference: Largest absolute difference; 0 or 1 for strings.
        largest: Largest absolute value that Keras gave.
        span: Keras's largest value minus its smallest, over all examples.
        top1_agreement: Share of the rows with the same largest class, for float outputs
            with a last axis of at least 2 classes; share of equal values for outputs
            that are no floats; None for the others.
        num_rows: Number of rows (or values) behind `top1_agreement`.
        is_float: Whether the output is of a float dtype.
        column_error: Largest error of a column of the last axis, as `column_errors` measures
            it; None for a single column, and for outputs that are no floats.
        worst_column: Index of this column, or None.
    """

    name: str
    max_difference: float
    largest: float
    span: float
    top1_agreement: float | None
    num_rows: int
    is_float: bool
    column_error: float | None = None
    worst_column: int | None = None

    @property
    def relative_difference(self):
        """`max_difference` as a share of `span`; infinite if Keras's values are all equal."""
        if self.max_difference == 0:
            return 0.0
        return self.max_difference / self.span if self.span else math.inf

    def is_close(self, tolerance):
        """Whether the difference is within tolerance * largest; 0 for integers."""
        return self.max_difference <= self.limit(tolerance)

    def limit(self, tolerance):
        """Largest difference that `is_close` allows."""
        return tolerance * self.largest if self.is_float else 0.0

    def __str__(self):
        text = f"{self.name!r}: max difference {self.max_difference:.3g}"
        if self.is_float:
            text += f" where Keras's largest value is {self.largest:.3g}, its range {self.span:.3g}"
        if self.top1_agreement is not None:
            text += f", top-1 agreement {self.top1_agreement:.3f} of {self.num_rows}"
        if self.column_error is not None:
            text += (
                f", column {self.worst_column} of the last axis off by {self.column_error:.0%} of "
                "its own standard deviation"
            )
        return text


def compare_outputs(expected, actual):
    """Compares outputs by name.

    Args:
        expected: Keras's outputs: arrays by name.
        actual: The exported model's.

    Returns:
        A list of `OutputParity`, one per output.

    Raises:
        ValueError: If the names, the shapes or the kinds of values differ, or the
            exported model gives NaN or infinity.
    """
    if set(expected) != set(actual):
        raise ValueError(
            f"The exported model has the outputs {sorted(actual)}, Keras has {sorted(expected)}."
        )
    check_finite("exported model", actual)
    return [_compare_output(name, expected[name], actual[name]) for name in expected]


def _compare_output(name, expected, actual):
    expected, actual = np.asarray(expected), np.asarray(actual)
    if expected.shape != actual.shape:
        raise ValueError(
            f"The output {name!r} has the shape {actual.shape} in the exported model and "
            f"{expected.shape} in Keras."
        )
    is_float = _is_float(expected)
    if expected.dtype == object:
        expected, actual = np.ones(expected.shape), (expected == actual).astype("float64")
    expected, actual = expected.astype("float64"), actual.astype("float64")
    agrees = errors = None
    if not is_float:
        agrees = expected == actual
    elif expected.ndim >= 2 and expected.shape[-1] >= 2 and expected.size:
        agrees = expected.argmax(axis=-1) == actual.argmax(axis=-1)
        errors = column_errors(expected, actual)
    return OutputParity(
        name=name,
        max_difference=float(np.max(np.abs(expected - actual), initial=0)),
        largest=float(np.max(np.abs(expected), initial=0)),
        span=float(np.ptp(expected)) if expected.size else 0.0,
        top1_agreement=None if agrees is None else float(np.mean(agrees)),
        num_rows=0 if agrees is None else agrees.size,
        is_float=is_float,
        column_error=None if errors is None else float(errors.max()),
        worst_column=None if errors is None else int(errors.argmax()),
    )


def column_errors(expected, actual):
    """Error of each column of the last axis, relative to the column's standard deviation.

    ```
    root mean square of (actual - expected) / standard deviation of expected
    ```

    The error is 1 or more for a column that has become constant, however small its values are
    compared with other columns. It is 0 if Keras's values are constant, up to rounding.
    """
    axes = tuple(range(expected.ndim - 1))
    error = np.sqrt(np.mean((actual - expected) ** 2, axis=axes))
    deviation = np.std(expected, axis=axes)
    rounding = _ROUNDING * np.max(np.abs(expected), axis=axes)
    # Differences that rounding can explain are not errors.
    error = np.maximum(error - rounding, 0)
    is_constant = deviation <= rounding
    return np.where(is_constant, 0, error / np.where(is_constant, 1, deviation))


def _is_float(values):
    # NumPy does not know bfloat16 as a float: its kind is that of an opaque type.
    return tf.as_dtype(values.dtype).is_floating


def check_finite(owner, outputs):
    """Raises if float outputs hold NaN or infinity.

    Args:
        owner: The owner of the outputs, for the error.
        outputs: Arrays by name.
    """
    for name, values in outputs.items():
        values = np.asarray(values)
        if _is_float(values) and not np.isfinite(values.astype("float64")).all():
            raise ValueError(
                f"The {owner} gives NaN or infinity in its output {name!r}; nothing was written. "
                "Look at the model's weights and at the inputs; mask with a large finite "
                "number, not with infinity."
            )


def threshold(model, labels):
    """The value above which the single number of a row is class 1, or None for other numbers.

    A sigmoid shows it. One number without a sigmoid is a logit if the labels are integers, or a
    known loss is binary, and else a number to predict.

    Args:
        model: A Keras model.
        labels: An array, or None.
    """
    domains = output_domains(model)
    if labels is None or not domains or len(domains) > 1:
        return None
    is_class = labels.dtype.kind in "biu" or is_taught_yes_or_no(model)
    return {SIGMOID: 0.5, LOGITS: 0.0 if is_class else None}.get(domains[0])


def labels_of_rows(labels, outputs):
    """Labels for the rows of the only output's classes, or None if the labels do not fit them.

    A row of a single value has two classes, and labels of it are 0, 1 and -1.

    Args:
        labels: Classes, one for each row of classes, -1 for none; one-hot rows; or None.
        outputs: Arrays by name.

    Raises:
        ValueError: If a label is not one of the classes.
    """
    values = next(iter(outputs.values()))
    if labels is None or len(outputs) > 1 or values.ndim < 2:
        return None
    rows, num_classes = values.shape[:-1], values.shape[-1]
    if num_classes > 1 and labels.shape == values.shape and _is_one_hot(labels):
        return labels.argmax(axis=-1)
    is_class = labels.shape in (rows, (*rows, 1)) and labels.dtype.kind in "biuf"
    # Many tables have class indices as floats.
    if not is_class or np.any(labels != np.floor(labels)):
        return None
    # Ratings are no classes; of -1 and 1 alone, -1 may be a class.
    if num_classes == 1 and (not np.isin(labels, (-1, 0, 1)).all() or _are_signs(labels)):
        return None
    labels = labels.reshape(rows).astype("int64")
    if np.max(labels, initial=-1) >= max(2, num_classes):
        raise ValueError(
            "representative_data must have labels that are classes, from 0 to "
            f"{values.shape[-1] - 1}, or -1 for none. Received: a label of {labels.max()}. Number "
            "the classes from 0, or leave the labels out."
        )
    return labels if np.any(labels >= 0) else None


def _are_signs(labels):
    return set(np.unique(labels)) == {-1, 1}


def _is_one_hot(labels):
    is_bit = np.isin(labels, (0, 1)).all()
    return bool(is_bit and np.all(np.sum(labels, axis=-1, dtype="int64") == 1))


def accuracy(labels, outputs, boundary):
    """Share of the labels that are the top class of the only output, or None.

    Args:
        labels: As `labels_of_rows` gives them.
        outputs: Arrays by name.
        boundary: The `threshold` of a single output.
    """
    if labels is None:
        return None
    (values,) = outputs.values()
    if values.shape[-1] > 1:
        classes = values.argmax(axis=-1)
    elif boundary is None:
        return None
    else:
        classes = values[..., 0] > boundary
    return float(np.mean((classes == labels)[labels >= 0]))


def keras_outputs(model, inputs):
    """Runs a `NamedModel` in Keras, twice.

    Args:
        model: The `NamedModel`.
        inputs: Arrays by name.

    Returns:
        The outputs as arrays by name.

    Raises:
        ValueError: If the model fails on these inputs, gives NaN or infinity, or gives
            different outputs the second time.
    """
    outputs, again = run(model, inputs), run(model, inputs)
    check_finite("Keras model itself", outputs)
    # The check must be here: an exported random generator starts in Keras's state and would agree.
    for output in compare_outputs(outputs, again):
        if not output.is_close(float_tolerance(model.model)):
            raise ValueError(
                "The Keras model must give the same outputs for the same inputs. Received, from "
                f"one run to the next: {output}. Nothing was written. Remove the layer that "
                "draws random numbers, or keeps state, at inference."
            )
    return outputs


def run(model, inputs):
    """The outputs of a `NamedModel` in Keras as arrays by name.

    Raises:
        ValueError: If the model fails on these inputs.
    """
    try:
        return {name: keras.ops.convert_to_numpy(v) for name, v in model(inputs).items()}
    except Exception as error:
        received = {name: (values.shape, str(values.dtype)) for name, values in inputs.items()}
        raise ValueError(
            "The Keras model itself fails on the inputs of the check. Received: inputs "
            f"{received}. If they were generated, pass real ones as representative_data. "
            f"{type(error).__name__}: {error}"
        ) from error


def half_precision(model):
    """Name of the half-precision dtype in which a Keras model computes, or None."""
    dtypes = {layer.compute_dtype for layer in flatten_layers(model)}
    return next((dtype for dtype in ("bfloat16", "float16") if dtype in dtypes), None)


def float_tolerance(model):
    """The tolerance for `is_close` that rounding alone explains on one machine."""
    return _TOLERANCES[half_precision(model)]
