"""Attention masks that work in 8 bits."""

import inspect

import keras
from keras import ops

from keras_distill._keras.layer_calls import replaced_calls
from keras_distill._keras.layers import flatten_layers

# Distance of masked scores below the lowest score, which gives a relative weight of e^-8.
_DISTANCE = 8.0


def close_masks(model):
    """Puts masked attention scores just below the lowest one, within a with block.

    Keras sets them to -1e9. A tensor has one step size in 8 bits: with -1e9 in its
    range the step is 4 million, and all scores become equal. Only the scores of MultiHeadAttention
    and of Softmax layers are changed: Attention and GroupedQueryAttention mask their scores
    themselves, and so may subclasses with their own call.

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
    """Whether a layer is a MultiHeadAttention that can return its scores; subclasses may not."""
    is_attention = isinstance(layer, keras.layers.MultiHeadAttention)
    return (
        is_attention and "return_attention_scores" in inspect.signature(type(layer).call).parameters
    )


def _attention_call(call):
    def attention_call(*args, return_attention_scores=False, **kwargs):
        # To return scores, it runs its Softmax layer instead of a fused kernel with -1e9.
        output, scores = call(*args, return_attention_scores=True, **kwargs)
        return (output, scores) if return_attention_scores else output

    return attention_call


def _softmax_call(layer, call, gives_means):
    """As in Keras, fully masked rows give 0, or the mean where Keras uses a fused kernel."""

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
