"""Replaces the `call` of layers temporarily, which works inside models of any kind."""

import contextlib


@contextlib.contextmanager
def replaced_calls(layers, make_call):
    """Replaces the `call` of layers within a with block.

    Args:
        layers: Keras layers.
        make_call: Function from a layer and its present call to the new call.
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
    """The method that Keras runs when this layer is called."""
    return getattr(layer, _name(layer))


def own_call(layer):
    """The call of the layer object that overrides its class's, or None."""
    return layer.__dict__.get(_name(layer))


def set_call(layer, call):
    """Sets the call of the layer object; None restores the call of its class."""
    # object.__setattr__ bypasses Keras's __setattr__, which would track the function.
    if call is not None:
        object.__setattr__(layer, _name(layer), call)
    elif own_call(layer) is not None:
        object.__delattr__(layer, _name(layer))


def _name(layer):
    # Keras runs another method of a layer that model.quantize() has changed.
    return "call" if getattr(layer, "quantization_mode", None) is None else "quantized_call"
