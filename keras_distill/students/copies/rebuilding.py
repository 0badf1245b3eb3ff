"""Copies a Functional model with some of its layers replaced."""

import copy
import types
import warnings

import keras

from keras_distill._keras.layers import flatten_layers
from keras_distill._keras.layers import is_functional


def rebuild(model, clone_layer, call_layer):
    """Calls a copy of each layer, in the order of the model's graph.

    Args:
        model: A Functional or Sequential `keras.Model`. It is not changed.
        clone_layer: Function from a layer, or an operation of `keras.ops`, to its replacement.
        call_layer: Function from the replacement and its arguments to its outputs.

    Returns:
        A Functional model, not compiled.

    Raises:
        ValueError: If the model is neither Functional nor Sequential, or not built.
    """
    graph = as_functional(model)
    return keras.models.clone_model(graph, clone_function=clone_layer, call_function=call_layer)


def as_functional(model):
    """A Functional model with the same layers, not compiled."""
    if isinstance(model, keras.Sequential) and model.built:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    if not is_graph(model):
        raise ValueError(
            "model must be a Functional keras.Model, or a Sequential one that is built: others do "
            f"not know how their layers are connected. Received: model={model!r}"
        )
    return keras.Model(model.input, model.output, name=model.name)


def is_graph(layer):
    """Whether a layer is a model that knows how its layers are connected."""
    is_built = isinstance(layer, keras.Sequential) and layer.built
    return is_built or is_functional(layer)


def copied(layer):
    """A layer with the same configuration and new weights.

    The copy of a layer with `adapt`, such as Normalization, keeps the adapted state.

    Raises:
        ValueError: If the layer cannot be made from its configuration.
    """
    if _is_keras_graph(layer) or (is_graph(layer) and any(map(_adapts, flatten_layers(layer)))):
        return rebuild(layer, copied, lambda inner, *args, **kwargs: inner(*args, **kwargs))
    try:
        # The configuration lacks the adapted state; deepcopy saves and loads the layer with it.
        return copy.deepcopy(layer) if _adapts(layer) else made_again(layer)
    except Exception as error:
        raise ValueError(
            "model must have layers that can be made again from their configuration. Received: "
            f"{layer.name!r}, a {type(layer).__name__}, which cannot. Give its class a get_config "
            "with all its arguments, and it @keras.saving.register_keras_serializable()."
        ) from error


def made_again(layer, **changes):
    """A new layer from a layer's configuration, with some settings changed."""
    with warnings.catch_warnings():
        # Keras warns that a lambda is unsafe in a file, but this configuration stays in memory.
        warnings.simplefilter("ignore")
        config = layer.get_config()
    # Keras finds a function by its name, and only if it is registered.
    functions = {
        key: getattr(layer, key)
        for key in config
        if isinstance(getattr(layer, key, None), types.FunctionType)
    }
    config |= functions | changes
    kind = layer.__class__
    # A Lambda's from_config does not accept a function.
    return kind(**config) if kind is keras.layers.Lambda else kind.from_config(config)


def _is_keras_graph(layer):
    """Whether a layer is a graph of Keras's own classes; a copy would lose another class."""
    return is_graph(layer) and type(layer).__module__.startswith("keras.")


def _adapts(layer):
    return hasattr(layer, "adapt")


def has_plain_weights(layer):
    """Whether a layer computes with its kernel or table unchanged: no LoRA, not quantized."""
    has_lora = getattr(layer, "lora_enabled", False)
    return not has_lora and getattr(layer, "quantization_mode", None) is None
