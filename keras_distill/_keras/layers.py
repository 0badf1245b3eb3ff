"""Properties of Keras layers without a public name."""


def flatten_layers(layer, *, include_self=True, recursive=True):
    """Lists a layer and all layers inside it, at any depth, each once.

    `keras.Model.layers` has only the outermost layers, and a layer has no such list. If
    `_flatten_layers` is removed, search the attributes for layers.

    Args:
        layer: A `keras.layers.Layer`, also a model.
        include_self: Whether the layer itself comes first. Defaults to True.
        recursive: False for the outermost layers only. Defaults to True.
    """
    return list(layer._flatten_layers(include_self=include_self, recursive=recursive))


def takes_training(layer):
    """Whether the `call` of a layer has an argument `training`.

    Keras finds it out when it makes the layer. If `_call_has_training_arg` is removed,
    `inspect.signature(layer.call)` shows it, except for a layer whose call is replaced.

    Args:
        layer: Anything; the result is False for an object that is not a layer.
    """
    return getattr(layer, "_call_has_training_arg", False)


def is_functional(layer):
    """Whether this is a Functional model, made of symbolic tensors and called as a graph.

    Keras makes a Functional from `keras.Model(inputs, outputs)`, but does not export the class.
    If `_run_through_graph` is removed, use `isinstance(layer, type(keras.Model(x, x)))`.

    Args:
        layer: Anything.
    """
    return hasattr(layer, "_run_through_graph")
