"""Another `call` for layers, for a while: the way into a model of any kind."""

import contextlib


@contextlib.contextmanager
def replaced_calls(layers, make_call):
    """Replaces the `call` of layers within a with block.

    Args:
        layers: Keras layers.
        make_call: Function of a layer and its present call; returns the new one.
    """
    own_calls = []
    try:
        for layer in layers:
            own_calls.append((layer, own_call(layer)))
            set_call(layer, make_call(layer, call_of(layer)))
        yield
    finally:
        for layer, call in reversed(own_calls):
            set_call(layer, call)


def call_of(layer):
    """What Keras runs when this layer is called."""
    return getattr(layer, _name(layer))


def own_call(layer):
    """The call that this layer has apart from its class's, or None."""
    return layer.__dict__.get(_name(layer))


def set_call(layer, call):
    """Gives a layer a call of its own; with None, that of its class again."""
    # Past Keras's __setattr__, which would track the function.
    if call is not None:
        object.__setattr__(layer, _name(layer), call)
    elif own_call(layer) is not None:
        object.__delattr__(layer, _name(layer))


def _name(layer):
    # Of a layer that model.quantize() has changed, Keras runs another method.
    return "call" if getattr(layer, "quantization_mode", None) is None else "quantized_call"
