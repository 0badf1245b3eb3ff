"""Layer normalization that works in 8 bits."""

import keras
from keras import ops

from keras_distill._keras.layer_calls import replaced_calls
from keras_distill._keras.layers import flatten_layers


def exact_variances(model, rounded):
    """Sums the squares of LayerNormalization by a matrix product, within a with block.

    A matrix product sums in 32 bits. Keras squares first: in 8 bits, one feature far from the
    mean then takes the whole range, and the squares of all others are rounded to 0.
    Normalization over other axes than the last is not changed, and neither are subclasses with
    their own call.

    Args:
        model: A `keras.Model`.
        rounded: Function of a tensor that rounds the values that the file rounds within a layer.
    """
    layers = [
        layer
        for layer in flatten_layers(model)
        if type(layer).call is keras.layers.LayerNormalization.call and not layer.rms_scaling
    ]

    def make_call(layer, call):
        def normalizing_call(inputs):
            num_axes = len(inputs.shape)
            is_over_features = [axis % num_axes for axis in layer.axis] == [num_axes - 1]
            return _normalize(layer, inputs, rounded) if is_over_features else call(inputs)

        return normalizing_call

    return replaced_calls(layers, make_call)


def _normalize(layer, inputs, rounded):
    inputs = ops.cast(inputs, "float32")
    width = inputs.shape[-1]
    mean = rounded(ops.mean(inputs, axis=-1, keepdims=True))
    centered = rounded(inputs - mean)
    square_sum = rounded(ops.matmul(centered[..., None, :], centered[..., :, None])[..., 0])
    outputs = rounded(centered * rounded(ops.rsqrt(square_sum + width * layer.epsilon)))
    outputs = outputs * (width**0.5 * (layer.gamma if layer.scale else 1.0))
    if layer.center:
        outputs = rounded(outputs) + layer.beta
    return ops.cast(outputs, layer.compute_dtype)
