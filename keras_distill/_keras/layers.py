"""What Keras knows of its layers and has no public name for."""


def flatten_layers(layer, *, include_self=True, recursive=True):
    """Lists a layer and all layers inside it, at any depth, each once.

    `keras.Model.layers` has the outermost ones only, and a layer has no such list. Should
    `_flatten_layers` go, a walk over the layers among the attributes takes its place.

    Args:
        layer: A `keras.layers.Layer`, also a model.
        include_self: Whether the layer itself comes first. Defaults to True.
        recursive: False for the outermost ones alone. Defaults to True.
    """
    return list(layer._flatten_layers(include_self=include_self, recursive=recursive))


def takes_training(layer):
    """Whether the `call` of a layer has an argument `training`.

    Keras finds it out when it makes the layer. Should `_call_has_training_arg` go,
    `inspect.signature(layer.call)` tells it, though not of a layer whose call is replaced.

    Args:
        layer: Anything; what is no layer takes none.
    """
    return getattr(layer, "_call_has_training_arg", False)


def is_functional(layer):
    """Whether it is a model made of symbolic tensors, one that is called as a graph.

    Keras makes a Functional of a `keras.Model(inputs, outputs)`, and exports no class of it.
    Should `_run_through_graph` go, `isinstance(layer, type(keras.Model(x, x)))` takes its place.

    Args:
        layer: Anything.
    """
    return hasattr(layer, "_run_through_graph")
