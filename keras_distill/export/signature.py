"""Names of a model's inputs and outputs, the same in every exported format."""

import keyword
import re

import keras
import numpy as np
import tensorflow as tf

from keras_distill._keras.graph import calls_of
from keras_distill._keras.graph import origin


class NamedModel:
    """A Keras model as a function from named inputs to named outputs.

    Inputs are named after the keys of dict inputs, else after the Input layers. An Input layer
    without a name of its own is "inputs", or "inputs_0", "inputs_1", ... if there are
    several.

    Outputs are named after the keys of dict outputs, else after the last layers. If Keras
    generated the name of a last layer ("dense_7", also "dense"), the output is "output", or
    "output_0", "output_1", ... if there are several: generated names change from run to run.

    The keys of nested structures are joined with "_". Names must be Python identifiers:
    other characters become "_". A repeated name gets "_1", "_2", ...

    Args:
        model: A `keras.Model` that is Functional, Sequential and built, or subclassed
            and called once with a `keras.Input`.
        sequence_length: Size of all dimensions of unknown size, except the batch;
            shorter inputs are padded with zeros. None leaves these dimensions open.

    Raises:
        ValueError: If the model's inputs cannot be known.
    """

    def __init__(self, model, sequence_length=None):
        self.model = model
        self.sequence_length = sequence_length
        self.structure = _input_structure(model)
        leaves = keras.tree.flatten_with_path(self.structure)
        names = [_input_name(path, tensor, len(leaves)) for path, tensor in leaves]
        self.inputs = dict(zip(_unique(names), (tensor for _, tensor in leaves)))

    def input_specs(self, batch_size=None):
        """The inputs' `tf.TensorSpec`s by name; batch_size None means any batch size."""
        return {
            name: tf.TensorSpec((batch_size, *self._sizes(tensor)), tensor.dtype, name=name)
            for name, tensor in self.inputs.items()
        }

    def _sizes(self, tensor):
        return [self.sequence_length if size is None else size for size in tensor.shape[1:]]

    def name_inputs(self, x):
        """Turns inputs in the model's own form, or a dict by name, into arrays by name.

        Args:
            x: An array, or a dict or list like the model's inputs, with a batch axis.

        Raises:
            ValueError: If the structure, a shape or a kind of value does not fit the model.
        """
        if isinstance(x, dict) and set(self.inputs) <= set(x):
            leaves = [x[name] for name in self.inputs]
        elif len(self.inputs) == 1 and not isinstance(x, dict):
            (tensor,) = self.inputs.values()
            # A list may hold the single input itself; ["a text"] is a batch of one.
            is_list = isinstance(x, (list, tuple)) and len(x) == 1
            leaves = [x[0] if is_list and np.ndim(x[0]) == len(tensor.shape) else x]
        else:
            leaves = keras.tree.flatten(x)
        if len(leaves) != len(self.inputs):
            raise ValueError(
                f"The model has {len(self.inputs)} inputs, {list(self.inputs)}. "
                f"Received: {len(leaves)} inputs in a {type(x).__name__}. Give a dict with these "
                "keys, or the structure that the model takes."
            )
        specs = self.input_specs()
        arrays = {
            name: _fill_up(_as_array(name, leaf), tensor.shape, self.sequence_length)
            for leaf, (name, tensor) in zip(leaves, self.inputs.items())
        }
        arrays = {name: _fit(name, values, specs[name]) for name, values in arrays.items()}
        counts = {name: len(values) for name, values in arrays.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(
                f"All inputs must have as many examples. Received, numbers of examples: {counts}."
            )
        return arrays

    def halve(self, inputs):
        """Cuts open dimensions of arrays by name to half their size, at least 1."""
        return {
            name: inputs[name][
                tuple(
                    slice(-(-size // 2)) if axis and expected is None else slice(None)
                    for axis, (size, expected) in enumerate(zip(inputs[name].shape, tensor.shape))
                )
            ]
            for name, tensor in self.inputs.items()
        }

    def comparable(self, outputs):
        """Outputs by name, as arrays, in the form in which two runs are compared."""
        return outputs

    def with_ties(self, outputs, expected, limit):
        """Outputs with the expected answers wherever they are equally good."""
        return outputs

    def __call__(self, inputs):
        """Runs the model in inference mode.

        Args:
            inputs: Tensors or arrays by name.

        Returns:
            The outputs by name.
        """
        leaves = [tf.convert_to_tensor(inputs[name]) for name in self.inputs]
        outputs = self.model(keras.tree.pack_sequence_as(self.structure, leaves), training=False)
        leaves = keras.tree.flatten_with_path(outputs)
        layers = _last_layers(self.model, len(leaves))
        names = [_output_name(path, layer, len(leaves)) for (path, _), layer in zip(leaves, layers)]
        return dict(zip(_unique(names), (tensor for _, tensor in leaves)))


def _input_structure(model):
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model. Received: model={model!r}")
    if isinstance(model, keras.Sequential) and model.built:
        return model.inputs[0]
    if getattr(model, "inputs", None):
        return model.input
    # The first symbolic call of a subclassed model is the only record of its input dtypes.
    calls = [node.arguments.args for node in calls_of(model)]
    if calls and len(calls[0]) == 1:
        return calls[0][0]
    raise ValueError(
        f"The inputs of the model {model.name!r} are not known. Call it once with its inputs as "
        "its one argument, such as model(keras.Input((32,), dtype='int32')), and then export it. "
        "Of a model that trains another, pass that: distiller.student, or mutual.student(name)."
    )


def _input_name(path, tensor, num_inputs):
    if any(isinstance(key, str) for key in path):
        return _identifier(_join(path), "inputs")
    if not re.fullmatch(r"(keras_tensor|input_layer)(_\d+)?", tensor.name):
        return _identifier(tensor.name, "inputs")
    return "inputs" if num_inputs == 1 else f"inputs_{_join(path)}"


def _output_name(path, layer, num_outputs):
    if any(isinstance(key, str) for key in path):
        return _identifier(_join(path), "output")
    if layer is not None and not _is_automatic(layer):
        return _identifier(layer.name, "output")
    return "output" if num_outputs == 1 else f"output_{_join(path)}"


def _last_layers(model, num_outputs):
    tensors = getattr(model, "outputs", None) or ()
    if len(tensors) != num_outputs:
        return [None] * num_outputs
    return [origin(tensor).operation for tensor in tensors]


def _is_automatic(layer):
    # Keras names a GlobalMaxPooling1D layer "global_max_pooling1d_3", for instance.
    return re.sub(r"_\d+$", "", layer.name).replace("_", "") == type(layer).__name__.lower()


def _join(path):
    return "_".join(map(str, path))


def _identifier(name, prefix):
    # TensorFlow uses the names for parameters of a Python method and nodes of a graph.
    name = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not name[:1].isalpha() or keyword.iskeyword(name) or name == "self":
        return f"{prefix}_{name.lstrip('_')}"
    return name


def _unique(names):
    unique = []
    for name in names:
        candidate, count = name, 0
        while candidate in unique:
            count += 1
            candidate = f"{name}_{count}"
        unique.append(candidate)
    return unique


def _fill_up(values, open_shape, size):
    """Pads open dimensions with zeros up to a size; longer ones are not changed."""
    if size is None or values.ndim != len(open_shape):
        return values
    is_open = [False, *(expected is None for expected in open_shape[1:])]
    missing = [max(0, size - has) if is_open[i] else 0 for i, has in enumerate(values.shape)]
    return np.pad(values, [(0, count) for count in missing])


def _as_array(name, values):
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError(
            f"The input {name!r} must be an array. Received: a {type(values).__name__}, which is "
            "none: its parts have different shapes. Give inputs and labels as a batched "
            "tf.data.Dataset of (x, y), and texts of unlike length padded to one."
        ) from None


def _fit(name, values, spec):
    if not spec.shape.is_compatible_with(values.shape):
        raise ValueError(
            f"The input {name!r} must have the shape {tuple(spec.shape)}, the batch axis first. "
            f"Received: an array of shape {values.shape}."
        )
    if spec.dtype == tf.string:
        return values.astype(object)
    return cast_exactly(f"The input {name!r}", values, spec.dtype.as_numpy_dtype)


def cast_exactly(owner, values, dtype):
    """Casts numbers to the dtype of an input, if an integer dtype can represent them exactly.

    Args:
        owner: Subject of the error message, which takes the numbers.
        values: An array.
        dtype: A NumPy dtype.

    Raises:
        ValueError: If the values are not numbers, or a cast to integers would change them.
    """
    values, dtype = np.asarray(values), np.dtype(dtype)
    is_number = values.dtype.kind in "biuf" or tf.as_dtype(values.dtype).is_floating
    if not is_number:
        raise ValueError(
            f"{owner} must be numbers, {dtype.name}. Received: values of dtype {values.dtype}, "
            f"such as {values.flat[0]!r:.80}. Turn them into numbers as in training."
        )
    with np.errstate(invalid="ignore"):
        cast = values.astype(dtype)
    if dtype.kind in "iub" and not np.array_equal(cast, values):
        wrong = values[cast != values]
        raise ValueError(
            f"{owner} must be integers of dtype {dtype.name}. Received: {values.dtype} such as "
            f"{wrong.flat[0]!s}, which would become {cast[cast != values].flat[0]!s}. Give the "
            "inputs as the model was trained on them."
        )
    return cast
