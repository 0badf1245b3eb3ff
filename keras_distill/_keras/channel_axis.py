"""Finds the channels of a feature map; losses and projectors need them on the last axis."""

import keras
from keras import layers
from keras import ops

from keras_distill._keras.graph import calls_of
from keras_distill._keras.graph import origin
from keras_distill._keras.layers import flatten_layers

_LAST = "last"
# These layers have their features on the last axis, whatever they read.
_FEATURES_LAST = (
    layers.Dense,
    layers.EinsumDense,
    layers.Embedding,
    layers.MultiHeadAttention,
    layers.RNN,
    layers.Bidirectional,
)
# Keras's layers and operations that combine arrays entry by entry, with broadcasting.
_SUMS = ("Add", "Subtract", "Average", "Maximum", "Minimum", "Where")
_ENTRYWISE = (*_SUMS, "Multiply", "Divide", "TrueDivide", "Power")


def channels_last(tensor, model, symbolic, layer=None):
    """Moves the channels of a feature map to the last axis, if they are elsewhere.

    Args:
        tensor: An activation, `(batch, ...)`.
        model: The model of the activation.
        symbolic: List of the symbolic tensors in the model's graph that may correspond to it.
        layer: The layer whose output it is, or None for an output of the model.

    Raises:
        ValueError: If the model has layers with the channels first, and it is unknown whether
            they are first here.
    """
    rank = getattr(getattr(tensor, "shape", None), "rank", None)
    if rank is None or rank < 3 or not isinstance(model, keras.layers.Layer):
        return tensor
    axes = {_axis(s) for s in symbolic if len(s.shape) == rank}
    if not axes and layer is not None:
        axes = {_own_axis(layer)}
    axis = axes.pop() if len(axes) == 1 else None
    if axis is None and not _has_channels_first(model):
        axis = _LAST
    if axis is None:
        where = f"the output of the layer {layer.name!r}" if layer else "an output"
        raise ValueError(
            f"The channels of a feature map must be known: the losses compare the last axis. "
            f"Received: {where} of {model.name!r}, {tuple(tensor.shape)}, in a model that has "
            "layers with data_format='channels_first', and nothing says which it is here. Tap a "
            "layer that has a data_format, such as the convolution, or one behind a "
            "keras.layers.Permute that brings the channels to the end."
        )
    return tensor if axis in (_LAST, rank - 1) else ops.moveaxis(tensor, axis, -1)


def outputs_channels_last(model, outputs):
    """The outputs of a model, each with its channels on the last axis."""
    symbolic = keras.tree.flatten(getattr(model, "outputs", None) or [])
    leaves = keras.tree.flatten(outputs)
    known = [[s] for s in symbolic] if len(symbolic) == len(leaves) else [[]] * len(leaves)
    moved = [channels_last(leaf, model, each) for leaf, each in zip(leaves, known)]
    if all(after is before for after, before in zip(moved, leaves)):
        return outputs
    return keras.tree.pack_sequence_as(outputs, moved)


def has_channels_first(model):
    """Whether the only output of a model that starts with a `keras.Input` has channels first."""
    (output,) = model.outputs
    return len(output.shape) > 2 and _axis(output) == 1


def symbolic_outputs(layer):
    """The outputs of a layer in all its graphs; none in a subclassed model."""
    return [tensor for node in calls_of(layer) for tensor in node.output_tensors]


def check_channels_last(argument, layer):
    """Raises `ValueError` for a layer that reads feature maps with the channels first."""
    found = [part for part in flatten_layers(layer) if _format(part) == "channels_first"]
    if found:
        raise ValueError(
            f"{argument} gets feature maps with their channels last, also of models with "
            "data_format='channels_first'. Received: the layer "
            f"{found[0].name!r} with data_format='channels_first'. Make it with "
            "data_format='channels_last'."
        )


def _axis(tensor):
    """The axis of a symbolic tensor's channels, _LAST, or None if unknown."""
    operation, node_index, tensor_index = origin(tensor)
    axis = _own_axis(operation)
    if axis is not None:
        return axis
    if getattr(operation, "outputs", None):  # The operation is a nested model.
        axis = _axis(keras.tree.flatten(operation.outputs)[tensor_index])
    node = calls_of(operation)[node_index]
    if axis is not None or not node.input_tensors:
        return axis
    before = node.input_tensors[0]
    if _is_keras(operation, *_ENTRYWISE):
        # A gate, (batch, channels, 1, 1), has the axes of the map that it weights, in any order.
        whole = [part for part in node.input_tensors if part.shape == tensor.shape]
        if known := {_place(_axis(part), part.shape) for part in whole} - {None}:
            return known.pop() if len(known) == 1 else None
    order = _permutation(operation, len(before.shape))
    axis = _axis(before)
    if order is not None and axis is not None:
        return order.index(len(order) - 1 if axis == _LAST else axis)
    is_spread = len(before.shape) < len(tensor.shape) and before.shape[-1] != tensor.shape[-1]
    if axis == _LAST and is_spread:
        # A gate, (batch, channels), may be reshaped to (batch, channels, 1, 1).
        long = [place for place, size in enumerate(tensor.shape) if place and size != 1]
        is_gate = len(long) == 1 and tensor.shape[long[0]] == before.shape[-1]
        return long[0] if is_gate else None
    if axis in (None, _LAST, len(before.shape) - 1):
        return None if axis is None else _LAST
    if _is_keras(operation, "Pad") or _is_cut(operation, node, before.shape, tensor.shape):
        return axis
    return axis if _keeps(axis, before.shape, tensor.shape) else None


def _place(axis, shape):
    return _LAST if axis == len(shape) - 1 else axis


def _is_keras(operation, *names):
    kind = type(operation)
    return kind.__name__ in names and kind.__module__.partition(".")[0] == "keras"


def _is_cut(operation, node, before, after):
    """Whether an operation is a slice such as `x[:, :, ::2, 1:]`, a part of some axes."""
    if not _is_keras(operation, "GetItem") or len(before) != len(after):
        return False
    keys = node.arguments.args[1:] or [node.arguments.kwargs.get("key")]
    keys = keys[0] if isinstance(keys[0], tuple) else keys
    return all(isinstance(key, slice) or key is Ellipsis for key in keys)


def _keeps(axis, before, after):
    """Whether an operation leaves the channels where they are."""
    if len(before) == len(after):
        # All sizes but the channels must be equal: an operation may concatenate or cut channels.
        sizes = [shape[:axis] + shape[axis + 1 :] for shape in (tuple(before), tuple(after))]
        return sizes[0] == sizes[1]
    # Positions after the channels may be merged.
    return len(after) > axis and before[axis] is not None and before[axis] == after[axis]


def _permutation(operation, rank):
    if isinstance(operation, layers.Permute):
        return [0, *operation.dims]
    if type(operation).__name__ == "Transpose":
        return [axis % rank for axis in operation.axes or range(rank)[::-1]]
    if type(operation).__name__ == "Moveaxis":
        source, target = (_positive(getattr(operation, n), rank) for n in ("source", "destination"))
        order = [axis for axis in range(rank) if axis not in source]
        for to, at in sorted(zip(target, source)):
            order.insert(to, at)
        return order
    if type(operation).__name__ == "Swapaxes":
        order = list(range(rank))
        one, other = operation.axis1 % rank, operation.axis2 % rank
        order[one], order[other] = other, one
        return order
    return None


def _positive(axes, rank):
    axes = axes if isinstance(axes, (list, tuple)) else [axes]
    return [axis % rank for axis in axes]


def _own_axis(operation):
    """The axis that an operation itself declares, _LAST, or None."""
    if isinstance(operation, layers.TimeDistributed):
        axis = _own_axis(operation.layer)
        return axis + 1 if isinstance(axis, int) else axis
    form = _format(operation)
    if form is not None:
        is_sequence = type(operation).__name__.startswith("ConvLSTM") and operation.return_sequences
        return _LAST if form == "channels_last" else 1 + is_sequence
    return _LAST if isinstance(operation, _FEATURES_LAST) else None


def _format(layer):
    """The data format that a layer declares, or None."""
    if isinstance(layer, layers.RNN) and hasattr(layer, "cell"):
        layer = layer.cell
    form = getattr(layer, "data_format", None)
    if form in ("channels_first", "channels_last"):
        return form
    is_norm = isinstance(layer, (layers.BatchNormalization, layers.GroupNormalization))
    return "channels_first" if is_norm and layer.axis in (1, [1], (1,)) else None


def _has_channels_first(model):
    return any(_format(layer) == "channels_first" for layer in flatten_layers(model))
