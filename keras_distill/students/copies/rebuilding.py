"""A copy of a Functional model, some of whose layers are others."""

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
        clone_layer: Function from a layer, or an operation of `keras.ops`, to the one that
            takes its place.
        call_layer: Function of that one and its arguments, to its outputs.

    Returns:
        A Functional model, not compiled.

    Raises:
        ValueError: If the model is neither Functional nor Sequential, or not built.
    """
    graph = as_functional(model)
    return keras.models.clone_model(graph, clone_function=clone_layer, call_function=call_layer)


def as_functional(model):
    """A Functional model of the same layers, not compiled."""
    if isinstance(model, keras.Sequential) and model.built:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    if not is_graph(model):
        raise ValueError(
            "model must be a Functional keras.Model, or a Sequential one that is built: others do "
            f"not know how their layers are connected. Received: model={model!r}"
        )
    return keras.Model(model.input, model.output, name=model.name)


def is_graph(layer):
    """Whether it is a model that knows how its layers are connected."""
    is_built = isinstance(layer, keras.Sequential) and layer.built
    return is_built or is_functional(layer)


def copied(layer):
    """A layer of the same configuration, with weights of its own.

    Of one with `adapt`, such as Normalization, the copy has learnt what it has.

    Raises:
        ValueError: If the layer cannot be made from its configuration.
    """
    if _is_keras_graph(layer) or (is_graph(layer) and any(map(_adapts, flatten_layers(layer)))):
        return rebuild(layer, copied, lambda inner, *args, **kwargs: inner(*args, **kwargs))
    try:
        # No configuration has what was learnt. Keras copies by its way of saving.
        return copy.deepcopy(layer) if _adapts(layer) else made_again(layer)
    except Exception as error:
        raise ValueError(
            "model must have layers that can be made again from their configuration. Received: "
            f"{layer.name!r}, a {type(layer).__name__}, which cannot. Give its class a get_config "
            "with all its arguments, and it @keras.saving.register_keras_serializable()."
        ) from error


def made_again(layer, **changes):
    """A new layer of a layer's configuration, with some settings changed."""
    with warnings.catch_warnings():
        # That a lambda is not safe in a file, where this does not go.
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
    # A Lambda's from_config takes no function.
    return kind(**config) if kind is keras.layers.Lambda else kind.from_config(config)


def _is_keras_graph(layer):
    """Whether it is a graph of no class of its own, which would be lost."""
    return is_graph(layer) and type(layer).__module__.startswith("keras.")


def _adapts(layer):
    return hasattr(layer, "adapt")
