"""Comparison of an exported model with the Keras model that it comes from."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from keras_distill.inputs import unpack

# Enough for the usual poolings and strides, where a model leaves a dimension open.
_OPEN_DIMENSION = 32
# Times max(1, largest value). Half precision: ten roundings.
_TOLERANCES = {None: 1e-5, "float16": 1e-2, "bfloat16": 8e-2}
_TEXTS = ("a good film", "not at all", "What time is it in Zürich?", "42")


@dataclasses.dataclass(frozen=True)
class OutputParity:
    """How far one output of an exported model is from Keras's.

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
    """

    name: str
    max_difference: float
    largest: float
    span: float
    top1_agreement: float | None
    num_rows: int
    is_float: bool

    def is_close(self, tolerance):
        """Whether the difference is within tolerance * max(1, largest); 0 for integers."""
        return self.max_difference <= self.limit(tolerance)

    def limit(self, tolerance):
        """Largest difference that `is_close` allows."""
        return tolerance * max(1.0, self.largest) if self.is_float else 0.0

    def __str__(self):
        text = f"{self.name!r}: max difference {self.max_difference:.3g}"
        if self.is_float:
            text += f" where Keras's largest value is {self.largest:.3g}, its range {self.span:.3g}"
        if self.top1_agreement is not None:
            text += f", top-1 agreement {self.top1_agreement:.3f} of {self.num_rows}"
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
    agrees = None
    if not is_float:
        agrees = expected == actual
    elif expected.ndim >= 2 and expected.shape[-1] >= 2:
        agrees = expected.argmax(axis=-1) == actual.argmax(axis=-1)
    return OutputParity(
        name=name,
        max_difference=float(np.max(np.abs(expected - actual), initial=0)),
        largest=float(np.max(np.abs(expected), initial=0)),
        span=float(np.ptp(expected)) if expected.size else 0.0,
        top1_agreement=None if agrees is None else float(np.mean(agrees)),
        num_rows=0 if agrees is None else agrees.size,
        is_float=is_float,
    )


def _is_float(values):
    # bfloat16 is no numpy float: its kind is that of an opaque type.
    return tf.as_dtype(values.dtype).is_floating


def check_finite(owner, outputs):
    """Raises if float outputs hold NaN or infinity.

    Args:
        owner: Whose outputs, for the error.
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


def keras_outputs(model, inputs):
    """Runs a `NamedModel` in Keras, twice.

    Args:
        model: The `NamedModel`.
        inputs: Arrays by name.

    Returns:
        The outputs as arrays by name.

    Raises:
        ValueError: If the model fails on these inputs, gives NaN or infinity, or gives
            other outputs the second time.
    """
    outputs, again = _run(model, inputs), _run(model, inputs)
    check_finite("Keras model itself", outputs)
    # An exported random generator starts where Keras's stood: they would agree.
    for output in compare_outputs(outputs, again):
        if not output.is_close(float_tolerance(model.model)):
            raise ValueError(
                "The Keras model must give the same outputs for the same inputs. Received, from "
                f"one run to the next: {output}. Nothing was written. Remove the layer that "
                "draws random numbers, or keeps state, at inference."
            )
    return outputs


def _run(model, inputs):
    try:
        return {name: keras.ops.convert_to_numpy(v) for name, v in model(inputs).items()}
    except Exception as error:
        received = {name: (values.shape, str(values.dtype)) for name, values in inputs.items()}
        raise ValueError(
            "The Keras model itself fails on the inputs of the check. Received: inputs "
            f"{received}. If they were generated, pass real ones as representative_data. "
            f"{type(error).__name__}: {error}"
        ) from error


def check_inputs(model, representative_data, num_generated, max_examples):
    """Inputs for the comparison: real ones where they are given, else generated.

    Args:
        model: A `NamedModel`.
        representative_data: Inputs as the model takes them, with a batch axis; a batched
            `tf.data.Dataset` of x, `(x, y)` or `(x, y, sample_weight)`; or None.
        num_generated: How many examples to generate if there is no data.
        max_examples: How many of the given examples are used at most.

    Returns:
        Arrays by name.

    Raises:
        ValueError: If the data does not fit the model's inputs or is empty.
    """
    if representative_data is None:
        return generate_inputs(model, num_generated)
    is_dataset = isinstance(representative_data, tf.data.Dataset)
    batches, count = [], 0
    for batch in representative_data if is_dataset else [representative_data]:
        x = unpack(batch)[0].student if is_dataset else batch
        batches.append(model.name_inputs(x))
        count += len(next(iter(batches[-1].values())))
        if count >= max_examples:
            break
    if not count:
        raise ValueError("representative_data must hold at least one example. Received: none.")
    return {
        name: np.concatenate([batch[name] for batch in batches])[:max_examples]
        for name in model.inputs
    }


def generate_inputs(model, num_examples, seed=0):
    """Makes up inputs from the shapes and dtypes of a model's inputs.

    Ids for an Embedding layer that reads an input itself, from its whole vocabulary; else
    floats from a normal distribution, integers 0 and 1 (what masks, segments and ids all
    allow), uint8 from 0 to 255, short texts. The first value of a row of integers is
    never 0, so that no mask is empty. Unknown dimensions are 32.

    Args:
        model: A `NamedModel`.
        num_examples: The batch size.
        seed: Seed of the random numbers.

    Returns:
        Arrays by name.
    """
    generator = np.random.default_rng(seed)
    inputs = {}
    for name, spec in model.input_specs(num_examples).items():
        shape = tuple(size or _OPEN_DIMENSION for size in spec.shape)
        vocabulary_size = _vocabulary_size(model, name)
        inputs[name] = _generate(generator, shape, spec.dtype, vocabulary_size)
    return inputs


def _vocabulary_size(model, name):
    # Keras's default dtype makes floats of many models' ids: the dtype does not tell.
    sizes = [
        layer.input_dim
        for layer in model.model._flatten_layers()
        if isinstance(layer, keras.layers.Embedding)
        for node in layer._inbound_nodes
        if any(tensor is model.inputs[name] for tensor in node.input_tensors)
    ]
    return min(sizes, default=None)


def _generate(generator, shape, dtype, vocabulary_size):
    if dtype == tf.string:
        return generator.choice(np.array(_TEXTS, dtype=object), shape)
    if vocabulary_size is None and dtype.is_floating:
        return generator.normal(size=shape).astype(dtype.as_numpy_dtype)
    largest = 255 if dtype == tf.uint8 else 1
    values = generator.integers(0, vocabulary_size or largest + 1, shape)
    if len(shape) > 1 and shape[1] > 1:
        values[:, 0] = np.maximum(values[:, 0], 1)
    return values.astype(dtype.as_numpy_dtype)


def half_precision(model):
    """The half precision that a Keras model computes in: its dtype's name, or None."""
    dtypes = {layer.compute_dtype for layer in model._flatten_layers()}
    return next((dtype for dtype in ("bfloat16", "float16") if dtype in dtypes), None)


def float_tolerance(model):
    """The difference, as of `is_close`, that rounding alone explains on one machine."""
    return _TOLERANCES[half_precision(model)]
