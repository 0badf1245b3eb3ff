"""Attention masks that 8 bits can carry."""

import inspect

import keras
from keras import ops

from keras_distill._keras.layer_calls import replaced_calls
from keras_distill._keras.layers import flatten_layers

# How far below the lowest score the masked ones are put: a weight of e^-8 beside it.
_DISTANCE = 8.0


def close_masks(model):
    """Puts masked attention scores just below the lowest one, within a with block.

    Keras puts them at -1e9. One tensor has one step size in 8 bits: with -1e9 in its
    range it is 4 million, and all scores become equal. Only the scores of MultiHeadAttention
    and of Softmax layers are: Attention and GroupedQueryAttention mask theirs by themselves,
    and subclasses may do so in a call of their own.

    Args:
        model: A `keras.Model`.
    """
    layers = flatten_layers(model)
    attentions = [layer for layer in layers if _is_attention(layer)]
    softmaxes = [layer for layer in layers if type(layer).call is keras.layers.Softmax.call]
    fused = {id(x) for layer in attentions if not layer.dropout for x in flatten_layers(layer)}

    def make_call(layer, call):
        if layer in attentions:
            return _attention_call(call)
        return _softmax_call(layer, call, gives_means=id(layer) in fused)

    return replaced_calls([*attentions, *softmaxes], make_call)


def _is_attention(layer):
    """Whether it can be asked for its scores, which subclasses may have left out."""
    is_attention = isinstance(layer, keras.layers.MultiHeadAttention)
    return (
        is_attention and "return_attention_scores" in inspect.signature(type(layer).call).parameters
    )


def _attention_call(call):
    def attention_call(*args, return_attention_scores=False, **kwargs):
        # Asked for the scores it runs its Softmax layer, not a fused kernel with -1e9.
        output, scores = call(*args, return_attention_scores=True, **kwargs)
        return (output, scores) if return_attention_scores else output

    return attention_call


def _softmax_call(layer, call, gives_means):
    """As Keras's: rows that are masked as a whole are 0, and of its fused kernel the mean."""

    def softmax_call(inputs, mask=None):
        if mask is None:
            return call(inputs)
        mask = ops.greater(ops.cast(mask, inputs.dtype), 0.5)
        if gives_means:
            is_read = ops.any(mask, axis=layer.axis, keepdims=True)
            inputs = ops.where(is_read, inputs, 0.0)
            mask = ops.logical_or(mask, ops.logical_not(is_read))
        lowest = ops.min(inputs, axis=layer.axis, keepdims=True)
        return ops.where(mask, call(ops.where(mask, inputs, lowest - _DISTANCE)), 0.0)

    return softmax_call
