"""Taps: activations of any layer, read during the model's own forward pass."""

import contextlib
import contextvars
import re
import threading
import weakref

import keras
import tensorflow as tf

from keras_distill._keras.channel_axis import channels_last
from keras_distill._keras.channel_axis import outputs_channels_last
from keras_distill._keras.channel_axis import symbolic_outputs
from keras_distill._keras.layer_calls import call_of
from keras_distill._keras.layer_calls import own_call
from keras_distill._keras.layer_calls import set_call
from keras_distill._keras.masks import check_gives_scores
from keras_distill._keras.masks import is_attention
from keras_distill._keras.masks import keras_mask
from keras_distill._keras.masks import mask_of_heads
from keras_distill._keras.masks import mask_of_tokens
from keras_distill._keras.masks import padding_mask
from keras_distill._keras.masks import parts_with_masks
from keras_distill._keras.masks import query_and_key_masks
from keras_distill._keras.masks import with_masks
from keras_distill.distillation.tap_paths import ATTENTION_SCORES
from keras_distill.distillation.tap_paths import find
from keras_distill.distillation.tap_paths import layer_paths
from keras_distill.distillation.tap_paths import read

# Each thread has its own recording: MirroredStrategy traces each replica in a thread.
_recording = contextvars.ContextVar("keras_distill_recording", default=None)

_tap_lock = threading.Lock()
_wrapped_layers = weakref.WeakKeyDictionary()


def current_recording():
    """Returns the `Recording` that this thread is in, or None."""
    return _recording.get()


class Recording:
    """The outputs of the tapped layers in one forward pass."""

    def __init__(self, model, taps):
        self.model = model
        self._taps = taps
        self.keys = {_key(layer, item) for layer, item in taps.values()}
        # Masks of the queries, keys and values inside a MultiHeadAttention, by layer.
        self.part_masks = {}
        self._outputs = {}
        # The gradient tape of the pass and the model's inputs, if gradients are needed.
        self.tape = self.inputs = None
        self._graph = _current_graph()

    def __contains__(self, path):
        """Whether a path names a layer of this pass."""
        return path in self._taps

    def __getitem__(self, path):
        """Returns the activation at a path, with its Keras mask and with channels last.

        Raises:
            ValueError: If the layer did not run, ran more than once, or ran where its
                output cannot be read; if the axis of its channels is ambiguous.
        """
        layer, item = self._taps[path]
        output = self._read(path, with_masks)
        if item == ATTENTION_SCORES:
            return output
        with _on_tape(self):
            return channels_last(output, self.model, symbolic_outputs(layer), layer)

    def passed_on(self, path):
        """Returns the tensors at a path that the model itself used, for gradients by them."""
        return self._read(path, lambda output, masks: output)

    def _read(self, path, activation_of):
        layer, item = self._taps[path]
        outputs = self._outputs.get(_key(layer, item), [])
        tensors = keras.tree.flatten([output for output, _ in outputs])
        where = f"The tap {path!r} reads the layer {layer.name!r}, which"
        if any(self._is_elsewhere(tensor) for tensor in tensors):
            raise ValueError(
                f"{where} runs inside a loop, a branch or another compiled function: its output "
                "does not exist outside of it. An RNN cell cannot be tapped; tap the RNN layer "
                "with return_sequences=True instead."
            )
        if not outputs:
            raise ValueError(
                f"{where} did not run in this forward pass, or ran inside a function that was "
                "compiled before. Tap a layer that runs in it."
            )
        if len(outputs) > 1:
            raise ValueError(
                f"{where} ran {len(outputs)} times in one forward pass, so there is not one output "
                "to read. Tap a layer that runs once: of an RNN cell, the RNN layer with "
                "return_sequences=True; of a shared layer, a layer after it."
            )
        output = activation_of(*outputs[0])
        if item in (None, ATTENTION_SCORES):
            return output
        try:
            return read(output, item)
        except KeyError:
            structure = keras.tree.map_structure(lambda _: "*", output)
            raise ValueError(
                f"{where} has no output {item}. Its outputs are: {structure}."
            ) from None

    def store(self, key, output, masks=()):
        """Stores an output, and the Keras masks of its tensors."""
        self._outputs.setdefault(key, []).append((output, masks))
        self.watch(output)

    def watch(self, tensors):
        """Makes gradients by tensors possible, if the pass has a tape."""
        for tensor in keras.tree.flatten(tensors) if self.tape is not None else ():
            if isinstance(tensor, tf.Tensor) and tensor.dtype.is_floating:
                self.tape.watch(tensor)

    def _is_elsewhere(self, tensor):
        return getattr(tensor, "graph", self._graph) is not self._graph


@contextlib.contextmanager
def record(model, paths):
    """Records the activations at `paths` while `model` runs in this thread.

    The layers' `call` is wrapped for the length of the pass and put back afterwards,
    so one forward pass serves the output and all taps, in a model of any kind.

    Args:
        model: A `keras.Model` or layer.
        paths: Paths as in `find`.

    Yields:
        A `Recording`, to be read by path after the model has run.
    """
    taps = {path: find(model, path) for path in paths}
    recording = Recording(model, taps)
    tapped = {id(layer): layer for layer, _ in taps.values()}
    layers = [*tapped.values(), *_attention_around(model, tapped)]
    for layer in layers:
        _wrap(layer)
    token = _recording.set(recording)
    try:
        yield recording
    finally:
        _recording.reset(token)
        for layer in layers:
            _unwrap(layer)


def _wrap(layer):
    with _tap_lock:
        num_recordings, previous = _wrapped_layers.get(layer, (0, own_call(layer)))
        _wrapped_layers[layer] = (num_recordings + 1, previous)
        if num_recordings == 0:
            set_call(layer, _recording_call(layer, call_of(layer)))


def _unwrap(layer):
    with _tap_lock:
        num_recordings, previous = _wrapped_layers.pop(layer)
        if num_recordings > 1:
            _wrapped_layers[layer] = (num_recordings - 1, previous)
        else:
            set_call(layer, previous)


def _recording_call(layer, call):
    def recording_call(*args, **kwargs):
        recording = _recording.get()
        if recording is None:
            return call(*args, **kwargs)
        previous_mask = keras.tree.map_structure(keras_mask, args[0]) if args else None
        mask = recording.part_masks.get(id(layer), padding_mask(kwargs))
        if is_attention(layer):
            mask, key_mask = query_and_key_masks(layer, args, kwargs)
            parts = parts_with_masks(layer, mask, key_mask)
            recording.part_masks.update((id(part), part_mask) for part, part_mask in parts)
        scores_key = _key(layer, ATTENTION_SCORES)
        if scores_key not in recording.keys:
            output = call(*args, **kwargs)
        else:
            # The layer computes the scores only with this argument; without it, a fused
            # kernel may be used.
            check_gives_scores(layer)
            wanted = kwargs.pop("return_attention_scores", False)
            output, scores = call(*args, return_attention_scores=True, **kwargs)
            # A copy drops Keras's mask of queries and keys, which has the rank of the scores.
            recording.store(scores_key, tf.identity(scores), [mask_of_heads(mask, scores)])
            output = (output, scores) if wanted else output
        masks = [None] * len(keras.tree.flatten(output))
        if args and layer.supports_masking:
            # Keras will set these masks; MultiHeadAttention removes them from its inputs.
            masks = keras.tree.flatten(layer.compute_mask(args[0], previous_mask))
        if mask is not None and all(m is None for m in masks):
            masks = [mask_of_tokens(mask, tensor) for tensor in keras.tree.flatten(output)]
        recording.store(_key(layer, None), output, masks)
        return output

    return recording_call


def _attention_around(model, tapped):
    """Lists the attention layers that contain a tapped layer; they know its mask."""
    if not tapped:
        return []  # A function has no layers, so nothing in it can be tapped.
    layers = {id(layer): layer for _, layer in layer_paths(model) if is_attention(layer)}
    return [
        layer
        for key, layer in layers.items()
        if key not in tapped
        and any(id(part) in tapped for part, _ in parts_with_masks(layer, None, None))
    ]


def _key(layer, item):
    return id(layer), item == ATTENTION_SCORES


def _on_tape(recording):
    """A context in which gradients by what is computed can be taken, if the pass has a tape."""
    tape = getattr(recording, "tape", None)
    return contextlib.nullcontext() if tape is None else tape


def _current_graph():
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


class Taps:
    """The tapped paths of one model: some name layers, the others its outputs."""

    def __init__(self, model, paths):
        self.model = model
        self._find_errors = {}
        for path in paths:
            if re.split(r"[/\[]", path)[0] != "output" and isinstance(model, keras.layers.Layer):
                try:
                    find(model, path)
                except ValueError as error:
                    # The path may be a key of the outputs, which are known after a run.
                    self._find_errors[path] = error
                    continue
                self._find_errors[path] = None
        self._paths = list(paths)

    def record(self):
        """Records the tapped layers while the model runs, as in `record`."""
        return record(self.model, [p for p in self._paths if self._names_layer(p)])

    def activations(self, recording, outputs):
        """Returns `{path: activation}` of a recorded pass.

        Args:
            recording: The `Recording`, or None.
            outputs: The model's outputs, as it gives them.
        """
        if not all(map(self._names_layer, self._paths)):
            with _on_tape(recording):
                outputs = outputs_channels_last(self.model, outputs)
        activations = {}
        for path in self._paths:
            if self._names_layer(path):
                activations[path] = recording[path]
            else:
                activations[path] = self._read_output(outputs, path)
        return activations

    def _names_layer(self, path):
        return path in self._find_errors and self._find_errors[path] is None

    def _read_output(self, outputs, path):
        try:
            return read(outputs, path)
        except KeyError:
            structure = keras.tree.map_structure(lambda _: "*", outputs)
            why = self._find_errors.get(path) or f"The tap {path!r} names no output."
            is_one = structure == "*"
            outputs = "There is one output" if is_one else f"The outputs are: {structure}"
            raise ValueError(f"{why} {outputs}.") from None
