"""A TF-Hub module as a Keras 3 layer."""

import contextlib
import contextvars
import inspect
import os
import pathlib

import keras
import tensorflow as tf

from keras_distill._keras.safe_mode import in_safe_mode
from keras_distill._keras.signatures import as_column
from keras_distill.teachers import hub_files

_trusted_modules = contextvars.ContextVar("keras_distill_trusted_modules")
# Handles of modules that this program has already loaded; loading them again adds no risk.
_loaded = set()


@keras.saving.register_keras_serializable(package="keras_distill")
class HubLayer(keras.layers.Layer):
    """A TF-Hub module in a Keras 3 model, which does not accept a `hub.KerasLayer`.

    The module is a TF2 SavedModel with a `__call__`, or one of its signatures. The layer has the
    module's own inputs and outputs, such as a BERT's:

    ```
    {"input_word_ids": (batch, length), "input_mask": ..., "input_type_ids": ...}    int32
    -> {"default": (batch, dim), "pooled_output": (batch, dim),
        "sequence_output": (batch, length, dim), "encoder_outputs": [(batch, length, dim), ...]}
    ```

    Inputs may be tensors, arrays or lists; other integers, and floats of another width,
    are cast to the module's dtypes. Floating-point outputs are cast to the layer's
    compute dtype: under a mixed policy the module itself computes as it was saved.

    A module that turns strings into an encoder's inputs also works as a layer, on a string
    `keras.Input`, or in `tf.data`, where it runs in parallel with the training:
    `dataset.map(preprocessor)`. tensorflow_text is imported if the module needs it.

    If the layer is trainable, it has the module's variables as its weights, passes `training` on
    (for dropout), and adds the module's regularization losses to the model's once, however
    often it is called. If it is frozen, it has no trainable weight and no loss, and the module
    always runs in inference mode, even in training, like `hub.KerasLayer`. To unfreeze it,
    set `layer.trainable = True`, or that of a parent, before `compile`.

    A saved model contains the weights and the handle, not the module's graph: to load it,
    the module must be available. If it has moved, see `HubLayer.trusted`. A module is
    a program, so Keras's safe mode does not load a module that is named only in the file: name
    it in `HubLayer.trusted`, or load the file with `safe_mode=False`. A model that was
    exported as a SavedModel does not need the module. XLA is not used, because it makes training
    through a SavedModel many times slower.

    Args:
        handle: A tfhub.dev or Kaggle URL, a module's folder, or a module that
            `tf.saved_model.load` returned; a model with a loaded module cannot be saved by
            Keras. A URL is first looked up in the cache, `$TFHUB_CACHE_DIR` or
            `~/.cache/keras_distill/tfhub_modules`, and needs no network if it is found there,
            in a folder named by the SHA-1 of the URL. Other users must not be able to write there.
        trainable: Whether the module is trained, too. Defaults to False.
        signature: Name of a signature, for modules without a `__call__`. It cannot be trained.
        output_key: Key of the single output to return. None returns the module's own output,
            which may be a dict.
        name: Name of the layer.
        dtype: Dtype or policy of the outputs.

    Attributes:
        module: The loaded module with all its attributes, such as a preprocessor's `tokenize`
            and `bert_pack_inputs`.
        folder: The module's local folder, or None for a loaded module.

    Raises:
        ImportError: If tensorflow_hub or tensorflow_text is needed and not installed.
        OSError: If the module cannot be downloaded.
        ValueError: If the handle is not a SavedModel, or is in the TF1 Hub format; if the
            signature is missing or unknown; when called, if the inputs do not fit the module.

    Example:

    ```python
    inputs = {
        name: keras.Input((64,), dtype="int32", name=name)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
    }
    url = "https://tfhub.dev/tensorflow/bert_en_uncased_L-12_H-768_A-12/4"
    encoder = HubLayer(url, trainable=True)
    logits = keras.layers.Dense(2)(encoder(inputs)["pooled_output"])
    teacher = keras.Model(inputs, logits)
    ```
    """

    def __init__(
        self, handle, trainable=False, signature=None, output_key=None, name=None, dtype=None
    ):
        # If the layer started frozen, a parent model would still treat its variables as trainable.
        super().__init__(trainable=True, autocast=False, name=name, dtype=dtype)
        self.supports_jit = False
        self.signature = signature
        self.output_key = output_key
        if signature is not None and trainable:
            raise ValueError(
                "A signature has neither dropout nor regularization losses, and cannot train. "
                f"Received: signature={signature!r}, trainable={trainable}. Leave out signature, "
                "if the module has a __call__, or give trainable=False."
            )
        if isinstance(handle, (str, os.PathLike)):
            self.handle = os.fspath(handle)
            self.folder = hub_files.find_folder(self.handle)
            self.module = hub_files.load_module(self.folder)
            _loaded.add(self.handle)
        else:
            self.handle = self.folder = None
            self.module = handle
        self._function = _choose_function(self.module, self.handle or handle, signature)
        self._has_training = "training" in inspect.signature(self._function).parameters
        self._module_inputs = _input_specs(self._function, signature)
        self._weights = self._keras_variables()
        self.trainable = trainable
        self.built = True

    @staticmethod
    @contextlib.contextmanager
    def trusted(modules):
        """A context in which saved models load these modules, which are programs.

        ```python
        with HubLayer.trusted(["/models/bert"]):
            model = keras.models.load_model("teacher.keras")
        with HubLayer.trusted({"/old/bert": "/new/bert"}):  # It has moved.
            model = keras.models.load_model("teacher.keras")
        ```

        A model whose module has moved has the new folder, and is saved with it.

        Args:
            modules: List of handles that you trust, URLs or folders; a folder stands for the
                modules in it, too. Or a dict from the old handle, or a folder above it, to the
                new folder.

        Raises:
            ValueError: If modules is one string, or names a file.
        """
        if not isinstance(modules, (dict, list, tuple, set)):
            raise ValueError(
                "modules must be a list of URLs or folders, or a dict from old to new ones. "
                f"Received: modules={modules!r}"
            )
        moves = modules if isinstance(modules, dict) else dict(zip(modules, modules))
        moves = {os.fspath(old): os.fspath(new) for old, new in moves.items()}
        for folder in moves.values():
            if os.path.isfile(folder):
                raise ValueError(
                    "modules must be URLs of modules, or folders. Received: "
                    f"{folder!r}, which is a file."
                )
        token = _trusted_modules.set({**_trusted_modules.get({}), **moves})
        try:
            yield
        finally:
            _trusted_modules.reset(token)

    def __call__(self, inputs, *args, **kwargs):
        # Lists become tensors first, because Keras would treat each number as a separate input.
        return super().__call__(self._map_inputs(_to_tensor, inputs), *args, **kwargs)

    def call(self, inputs, training=None):
        inputs = self._map_inputs(_cast, inputs)
        if self.signature is not None:
            outputs = self._function(**inputs)
        elif self._has_training:
            outputs = self._function(inputs, training=bool(training) and self.trainable)
        else:
            outputs = self._function(inputs)
        _set_lengths(outputs, inputs)
        return keras.tree.map_structure(self._cast_output, self._select(outputs))

    def get_config(self):
        if self.handle is None:
            raise ValueError(
                f"The layer {self.name!r} was made from a loaded module, which has no place in a "
                "saved or cloned model. Give HubLayer the module's folder or URL instead."
            )
        return {
            **super().get_config(),
            "handle": self.handle,
            "signature": self.signature,
            "output_key": self.output_key,
        }

    @classmethod
    def from_config(cls, config):
        handle = _trusted_place(config["handle"])
        if handle is None:
            handle = config["handle"]
            if in_safe_mode() and handle not in _loaded:
                raise ValueError(
                    f"The saved model names the TF-Hub module {handle!r}, which can run code when "
                    "it is loaded. If you trust it, load the model inside: "
                    f"with HubLayer.trusted([{handle!r}]): ..., or with safe_mode=False; the "
                    "command takes --trust."
                )
        return cls(**{**config, "handle": handle})

    def _keras_variables(self):
        variables = _module_variables(self.module, self._function)
        trainable = getattr(self.module, "trainable_variables", None)
        if trainable is None:
            trainable = [v for v in variables if v.trainable]
        trainable_ids = set() if self.signature is not None else {id(v) for v in trainable}
        with keras.name_scope(self.name):
            keras_variables = [_keras_variable(v, id(v) in trainable_ids) for v in variables]
        losses = list(getattr(self.module, "regularization_losses", ()))
        if losses and trainable_ids:
            next(v for v in keras_variables if v.trainable).regularizer = _ModuleLosses(losses)
        return keras_variables

    def _map_inputs(self, function, inputs):
        if not self._module_inputs:
            return function(inputs, None)
        for spec in self._module_inputs:
            if self.signature is not None and len(spec) == 1 and not isinstance(inputs, dict):
                inputs = {next(iter(spec)): inputs}
            if _has_structure(inputs, spec):
                return _map_up_to(spec, function, inputs)
        raise ValueError(
            f"The inputs must be like the module's, {_describe(self._module_inputs[0])}. "
            f"Received: {_describe(inputs)}"
        )

    def _select(self, outputs):
        if self.output_key is None:
            return outputs
        if not isinstance(outputs, dict) or self.output_key not in outputs:
            known = sorted(outputs) if isinstance(outputs, dict) else "one output without a key"
            raise ValueError(
                f"output_key must be one of the module's outputs: {known}. "
                f"Received: output_key={self.output_key!r}"
            )
        return outputs[self.output_key]

    def _cast_output(self, output):
        # Users of hub.KerasLayer give the inputs' dtype, tf.string, which must not be cast to.
        dtype = tf.as_dtype(self.compute_dtype)
        return tf.cast(output, dtype) if output.dtype.is_floating and dtype.is_floating else output


class _ModuleLosses(keras.regularizers.Regularizer):
    """The sum of a module's regularization losses.

    As the regularizer of one variable, the sum counts once per step, and only if the variable
    trains; losses added in `call` would count once for every call.
    """

    def __init__(self, losses):
        self.losses = losses

    def __call__(self, variable):
        return tf.add_n([loss() for loss in self.losses])


def _choose_function(module, handle, signature):
    signatures = getattr(module, "signatures", {})
    if not callable(module) and not signatures:
        raise ValueError(
            "handle must be a URL, a folder, or a module that tf.saved_model.load returned, with a "
            f"__call__ or signatures. Received: handle={handle!r}, which has neither."
        )
    if signature is not None:
        if signature not in signatures:
            raise ValueError(
                f"signature must be one of the module's: {sorted(signatures)}. "
                f"Received: signature={signature!r}, handle={handle!r}"
            )
        return signatures[signature]
    if not callable(module):
        raise ValueError(
            f"The module has no __call__. Received: handle={handle!r}, signature=None. "
            f"Give signature=, one of the module's: {sorted(signatures)}."
        )
    return module.__call__


def _input_specs(function, signature):
    if signature is not None:
        return [function.structured_input_signature[1]]
    specs = [f.structured_input_signature[0] for f in getattr(function, "concrete_functions", ())]
    return [arguments[0] for arguments in specs if arguments]


def _module_variables(module, function):
    variables = getattr(module, "variables", None)
    if variables is None:
        functions = getattr(function, "concrete_functions", [function])
        variables = [v for f in functions for v in getattr(f, "variables", ())]
    return list({id(v): v for v in variables}.values())


def _keras_variable(variable, trainable):
    # A Keras variable made from a tf.Variable shares its storage.
    name = variable.name.split(":")[0].replace("/", "_")
    return keras.Variable(variable, dtype=variable.dtype, trainable=trainable, name=name)


def _has_structure(inputs, spec):
    if isinstance(spec, dict):
        is_same = isinstance(inputs, dict) and inputs.keys() == spec.keys()
        return is_same and all(_has_structure(inputs[key], spec[key]) for key in spec)
    if isinstance(spec, (list, tuple)):
        is_same = isinstance(inputs, (list, tuple)) and len(inputs) == len(spec)
        return is_same and all(_has_structure(x, part) for x, part in zip(inputs, spec))
    return not isinstance(inputs, dict)


def _map_up_to(spec, function, inputs):
    if isinstance(spec, dict):
        return {key: _map_up_to(spec[key], function, inputs[key]) for key in spec}
    if isinstance(spec, (list, tuple)):
        return type(spec)(_map_up_to(part, function, x) for part, x in zip(spec, inputs))
    return function(inputs, spec)


def _to_tensor(x, spec):
    is_tensor = tf.is_tensor(x) or isinstance(x, keras.KerasTensor)
    return x if is_tensor else tf.convert_to_tensor(x)


def _cast(x, spec):
    x = as_column(x, spec)
    if not isinstance(spec, tf.TensorSpec) or x.dtype == spec.dtype:
        return x
    kinds = [(d.is_integer or d.is_bool, d.is_floating) for d in (x.dtype, spec.dtype)]
    if kinds[0] != kinds[1] or not any(kinds[0]):
        raise ValueError(
            f"The module's input {spec.name!r} must be {spec.dtype.name}. "
            f"Received: a tensor of {x.dtype.name}."
        )
    return tf.cast(x, spec.dtype)


def _describe(structure):
    def describe(x):
        return f"{tf.as_dtype(x.dtype).name} {tuple(x.shape)}" if hasattr(x, "dtype") else repr(x)

    return keras.tree.map_structure(describe, structure)


def _set_lengths(outputs, inputs):
    # The outputs of a restored function lack the static lengths of its inputs.
    is_encoder = isinstance(inputs, dict) and "input_word_ids" in inputs
    if is_encoder and isinstance(outputs, dict):
        shape = inputs["input_word_ids"].shape
        sequences = [outputs.get("sequence_output"), *outputs.get("encoder_outputs", ())]
        for sequence in sequences:
            if sequence is not None and sequence.shape.rank == 3:
                sequence.set_shape([*shape, None])


def _trusted_place(handle):
    """The new place of a handle; None if `HubLayer.trusted` does not name it."""
    is_url = "://" in handle
    # Folders are compared as absolute paths, because "a/../b" would load b.
    place = handle.rstrip("/") if is_url else os.path.abspath(handle)
    for old, new in _trusted_modules.get({}).items():
        old = old.rstrip("/") if is_url else os.path.abspath(old)
        if place == old:
            return new
        if not is_url and pathlib.PurePath(place).is_relative_to(old):
            return os.path.join(new, os.path.relpath(place, old))
    return None
