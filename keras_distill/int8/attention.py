"""Attention masks that 8 bits can carry."""

import keras
from keras import ops

from keras_distill.layer_calls import replaced_calls

# How far below the lowest score the masked ones are put: a weight of e^-8 beside it.
_DISTANCE = 8.0


def close_masks(model):
    """Puts masked attention scores just below the lowest one, within a with block.

    Keras puts them at -1e9. One tensor has one step size in 8 bits: with -1e9 in its
    range it is 4 million, and all scores become equal. Only the scores of MultiHeadAttention
    and of Softmax layers are: Attention and GroupedQueryAttention mask theirs by themselves.

    Args:
        model: A `keras.Model`.
    """
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, tuple(_CALLS))]
    return replaced_calls(layers, _closer_call)


def _closer_call(layer, call):
    (make_call,) = (make for kind, make in _CALLS.items() if isinstance(layer, kind))
    return make_call(layer, call)


def _attention_call(layer, call):
    def attention_call(*args, return_attention_scores=False, **kwargs):
        # Asked for the scores it runs its Softmax layer, not a fused kernel with -1e9.
        output, scores = call(*args, return_attention_scores=True, **kwargs)
        return (output, scores) if return_attention_scores else output

    return attention_call


def _softmax_call(layer, call):
    def softmax_call(inputs, mask=None):
        if mask is None:
            return call(inputs)
        mask = ops.greater(ops.cast(mask, inputs.dtype), 0.5)
        lowest = ops.min(inputs, axis=layer.axis, keepdims=True)
        return ops.where(mask, call(ops.where(mask, inputs, lowest - _DISTANCE)), 0.0)

    return softmax_call


_CALLS = {
    keras.layers.MultiHeadAttention: _attention_call,
    keras.layers.Softmax: _softmax_call,
}
