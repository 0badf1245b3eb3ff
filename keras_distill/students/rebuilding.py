"""A copy of a Functional model, some of whose layers are others."""

import keras


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
    # Keras makes a Functional of a keras.Model; no public name tells.
    if not hasattr(model, "_run_through_graph"):
        raise ValueError(
            "model must be a Functional keras.Model, or a Sequential one that is built: others do "
            f"not know how their layers are connected. Received: model={model!r}"
        )
    return keras.Model(model.input, model.output, name=model.name)


def copied(layer):
    """A layer of the same configuration, with weights of its own.

    One that has learnt by `adapt`, such as Normalization, is itself: no configuration has what it
    has learnt, and nothing of it is trained.
    """
    if _adapts(layer):
        return layer
    if isinstance(layer, keras.Model) and any(map(_adapts, layer._flatten_layers())):
        return rebuild(layer, copied, lambda inner, *args, **kwargs: inner(*args, **kwargs))
    return layer.__class__.from_config(layer.get_config())


def _adapts(layer):
    return hasattr(layer, "adapt")
