"""A Keras model, or any function, as a source of outputs."""

import inspect
import pathlib

import keras
import numpy as np
import tensorflow as tf

from keras_distill._files.plain_path import temporary_folder
from keras_distill._keras.channel_axis import outputs_channels_last
from keras_distill._keras.layers import flatten_layers
from keras_distill._keras.output_domain import output_domains
from keras_distill._keras.several_labels import has_several_labels
from keras_distill.evaluation.costs import count_flops
from keras_distill.evaluation.sources.source import Source
from keras_distill.export.pixels import normalized_pictures
from keras_distill.export.pixels import pixel_inputs
from keras_distill.export.saved_model.export import DEFAULT
from keras_distill.export.saved_model.export import write_saved_model
from keras_distill.export.signature import NamedModel
from keras_distill.export.signature import cast_exactly
from keras_distill.export.timing.benchmark import benchmark
from keras_distill.layers.class_names import class_names_of


class KerasModel(Source):
    """A Keras model in inference mode."""

    kind = "Keras"

    def __init__(self, model):
        self._model = model
        if stateful := [x.name for x in flatten_layers(model) if getattr(x, "stateful", False)]:
            raise ValueError(
                "A model that is compared must keep no state between batches: its answers would "
                f"depend on their order. Received: {model.name!r} with the stateful layers "
                f"{stateful}. Build it with stateful=False and copy the weights."
            )
        domains = output_domains(model)
        self.domain = domains[0] if domains and len(domains) == 1 else None
        self.has_several_labels = has_several_labels(model)
        self.class_names = class_names_of(model)
        # A subclassed model may rearrange its outputs in any way.
        self.tells_channels = bool(getattr(model, "outputs", None))
        self.num_parameters = sum(int(np.prod(weight.shape)) for weight in model.weights)
        self.num_bytes = sum(
            weight.value.dtype.size * int(np.prod(weight.shape)) for weight in model.weights
        )
        inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
        dtypes = {tensor.dtype for tensor in inputs}
        # The inputs of a dict may have another order, so only a dtype of all is known.
        self._integers = next(iter(dtypes)) if len(dtypes) == 1 and "int" in str(dtypes) else None
        self.reads_text = any(tensor.dtype == "string" for tensor in inputs) if inputs else None
        self.inputs = {x.name: (tuple(x.shape[1:]), x.dtype) for x in inputs}
        self._shape = tuple(inputs[0].shape[1:]) if len(inputs) == 1 else None
        self._run = tf.function(
            lambda x: outputs_channels_last(model, model(x, training=False)),
            reduce_retracing=True,
            autograph=False,
        )

    def __call__(self, x):
        leaves = keras.tree.flatten(x)
        self._check_shape(leaves)
        for values in leaves if self._integers else ():
            # Keras would cut off the decimals, which makes pixels from 0 to 1 black.
            cast_exactly(f"Inputs of {self._model.name!r}", values, self._integers)
        return one_output(self._run(keras.tree.map_structure(tf.convert_to_tensor, x)))

    def _check_shape(self, leaves):
        # A Sequential model accepts any shape with the same size, such as other channels.
        wanted, given = self._shape, tuple(getattr(leaves[0], "shape", ())[1:])
        # A Keras model with a fixed length may read fewer ids.
        if wanted is None or len(wanted) < 2 or len(leaves) != 1:
            return
        # Keras adds or removes a last axis of size 1.
        if given == (*wanted, 1) or wanted == (*given, 1):
            return
        if len(wanted) != len(given) or any(w not in (None, g) for w, g in zip(wanted, given)):
            raise ValueError(
                f"The model {self._model.name!r} reads inputs of shape {wanted} for each example. "
                f"Received: {given}. Give data of that shape, or a preprocessor."
            )

    def num_flops(self, x):
        return count_flops(self._model, x)

    def pixels(self, x):
        return {name: values for name, (values, _) in self._read(pixel_inputs, x).items()}

    def normalized(self, x):
        found = self._read(normalized_pictures, x)
        return {name: (values - mean) / std for name, (values, (mean, std)) in found.items() if std}

    def _read(self, find, x):
        """Dict from the inputs that a function of a model finds to `(values, what it found)`."""
        try:
            model = NamedModel(self._model)
            found = find(model)
            inputs = model.name_inputs(keras.tree.map_structure(np.asarray, x)) if found else {}
        except ValueError:
            # Of a subclassed model, the first layer is unknown; other inputs are errors of a call.
            return {}
        return {name: (inputs[name], value) for name, value in found.items()}

    def latencies(self, x, num_threads):
        """Times the model as a SavedModel, in separate processes."""
        try:
            model = NamedModel(self._model)
            inputs = model.name_inputs(keras.tree.map_structure(np.asarray, x))
        except ValueError:
            # A subclassed model that was never called with a keras.Input has unknown inputs.
            return None
        with temporary_folder() as folder:
            path = pathlib.Path(folder, "saved_model")
            write_saved_model({DEFAULT: model}, path)
            return {
                count: benchmark(path, num_threads=count, inputs=inputs) for count in num_threads
            }


class Function(Source):
    """A function about which only its return values are known.

    Args:
        owner: Name of the function's owner, for errors.
        function: Function from a batch of x, a dict or tuple of several inputs, to one output.
    """

    kind = "function"

    def __init__(self, owner, function):
        self._function = function
        try:
            parameters = inspect.signature(function)
        except (TypeError, ValueError):
            return  # Functions written in C may have no signature.
        try:
            parameters.bind(None)
        except TypeError:
            raise ValueError(
                f"{owner} must be a function of one argument, a batch of x; several inputs are a "
                f"dict or a tuple. Received: a function of {parameters}. Wrap it: lambda x: "
                "function(**x) of a dict by its arguments' names, or function(*x) of a tuple."
            ) from None

    def __call__(self, x):
        return one_output(self._function(x))


def one_output(outputs):
    """The single output of a model as an array."""
    leaves = keras.tree.flatten(outputs)
    if len(leaves) != 1:
        raise ValueError(
            "Models that are compared must have one output. Received: "
            f"{keras.tree.map_structure(lambda _: '*', outputs)}. Wrap the model in a function "
            "that returns the one to compare, such as lambda x: model(x, training=False)['logits']."
        )
    values = keras.ops.cast(leaves[0], "float32") if _is_half(leaves[0]) else leaves[0]
    return keras.ops.convert_to_numpy(values)


def _is_half(tensor):
    # bfloat16 must be cast, because NumPy does not have it.
    return tf.as_dtype(tensor.dtype) == tf.bfloat16
