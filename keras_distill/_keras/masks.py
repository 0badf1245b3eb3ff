"""Masks: Keras's, and those that layers get as an argument.

KerasHub's backbones give their layers a padding mask as an argument, and Keras's
MultiHeadAttention removes the Keras masks from its inputs.
"""

import inspect

import keras
import tensorflow as tf
from keras import ops


def keras_mask(tensor):
    """Returns the Keras mask of a tensor, or None.

    If `_keras_mask` is removed, use `keras.src.backend.get_keras_mask`, which is as private.
    """
    return getattr(tensor, "_keras_mask", None)


def set_keras_mask(tensor, mask):
    """Gives a tensor a Keras mask, which losses and metrics read; None removes it."""
    tensor._keras_mask = mask


def with_masks(output, masks):
    """Gives the tensors of an output these Keras masks if they have none.

    Tensors that get a mask are copies: the model itself continues with its unmasked tensors.
    """
    tensors = keras.tree.flatten(output)
    for i, (tensor, mask) in enumerate(zip(tensors, masks)):
        if mask is not None and keras_mask(tensor) is None:
            tensors[i] = tf.identity(tensor)
            set_keras_mask(tensors[i], mask)
    return keras.tree.pack_sequence_as(output, tensors)


def zero_masked(mask, features):
    """The features, `(batch, ...)`, set to 0 where the mask of their first axes is False."""
    features, mask = ops.convert_to_tensor(features), ops.cast(mask, "bool")
    for _ in range(len(features.shape) - len(mask.shape)):
        mask = ops.expand_dims(mask, -1)
    return ops.where(mask, features, ops.zeros_like(features))


def mask_of_tokens(mask, tensor):
    """The mask of the tokens, if this tensor has tokens: `(batch, length, ...)`."""
    if mask is None or len(tensor.shape) < 3:
        return None
    return tf.broadcast_to(tf.cast(mask, "bool"), tf.shape(tensor)[:2])


def mask_of_heads(mask, scores):
    """The mask of the queries for each head, for values `(batch, heads, queries)`."""
    if mask is None:
        return None
    return tf.broadcast_to(tf.cast(mask, "bool")[:, tf.newaxis], tf.shape(scores)[:-1])


def padding_mask(kwargs):
    """Returns the mask, `(batch, length)`, in the arguments of a KerasHub layer, or None."""
    masks = (kwargs.get(name) for name in ("padding_mask", "decoder_padding_mask"))
    return next((mask for mask in masks if mask is not None), None)


def query_and_key_masks(attention, args, kwargs):
    """Returns the masks of queries and keys of a call of a `MultiHeadAttention`.

    A key to which no query may attend is padding. In self-attention the queries are the
    keys, so such a query is padding, too.

    Args:
        attention: The layer.
        args: Positional arguments of its `call`.
        kwargs: Keyword arguments of its `call`.

    Returns:
        Two masks, `(batch, length)`; None if no mask is known.
    """
    parameters = inspect.signature(type(attention).call).bind(attention, *args, **kwargs).arguments
    if not {"query", "value"} <= parameters.keys():
        # A subclass with its own call may attend to anything.
        return keras_mask(next(iter((*args, *kwargs.values())), None)), None
    query, value = parameters["query"], parameters["value"]
    key = parameters.get("key")
    query_mask = _mask(parameters, "query", query)
    key_mask = _both(_mask(parameters, "value", value), _mask(parameters, "key", key))
    attention_mask = parameters.get("attention_mask")
    # A mask without batch axis is equal for all examples, and contains no padding.
    if attention_mask is not None and len(attention_mask.shape) >= 3:
        # The mask is (batch, queries, keys), or has an axis of heads; both axes may be 1.
        axes = tuple(range(1, len(attention_mask.shape) - 1))
        key_mask = _both(key_mask, ops.any(ops.cast(attention_mask, "bool"), axis=axes))
    if query_mask is None and query is value:
        query_mask = key_mask
    return query_mask, key_mask


def parts_with_masks(attention, query_mask, key_mask):
    """Lists the sublayers that make queries, keys and values, each with the mask of its output.

    If these names are removed, taps on the three are refused, and all others still work.
    """
    names = {"_query_dense": query_mask, "_key_dense": key_mask, "_value_dense": key_mask}
    parts = [(getattr(attention, name, None), mask) for name, mask in names.items()]
    return [(part, mask) for part, mask in parts if part is not None]


def is_attention(layer):
    """Whether a layer is a Keras `MultiHeadAttention`."""
    return isinstance(layer, keras.layers.MultiHeadAttention)


def check_gives_scores(attention):
    """Raises `ValueError` unless the `call` of a `MultiHeadAttention` can return its scores."""
    parameters = inspect.signature(type(attention).call).parameters.values()
    if not any(p.name == "return_attention_scores" or p.kind is p.VAR_KEYWORD for p in parameters):
        raise ValueError(
            f"The call of {attention.name!r} must take return_attention_scores, as that of "
            f"keras.layers.MultiHeadAttention does, for a tap on its scores. Received: a "
            f"{type(attention).__name__} with a call of {[p.name for p in parameters][1:]}. Tap "
            "its output, or hand the argument on to super().call()."
        )


def _mask(parameters, name, tensor):
    mask = parameters.get(f"{name}_mask")
    return keras_mask(tensor) if mask is None else mask


def _both(mask, other):
    if mask is None or other is None:
        return other if mask is None else mask
    return ops.logical_and(mask, other)


def fit_weights(sample_weight, rank):
    """Gives sample weights the rank of the values that they multiply.

    Missing axes are appended, so that a weight per example applies to each of its
    tokens: Keras's own product would align the batch with the last axis. If the
    values have fewer axes than the weights, each value gets the mean of its weights.

    Args:
        sample_weight: Weights, `(batch, ...)`, or None.
        rank: Rank of the values, including the batch axis.
    """
    if sample_weight is None:
        return None
    sample_weight = ops.convert_to_tensor(sample_weight)
    weight_rank = len(sample_weight.shape)
    if weight_rank > rank:
        return ops.mean(sample_weight, axis=list(range(rank, weight_rank)))
    for _ in range(rank - weight_rank):
        sample_weight = ops.expand_dims(sample_weight, -1)
    return sample_weight
