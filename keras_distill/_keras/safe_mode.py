"""The mode in which Keras is loading a model."""

from keras.src.saving.serialization_lib import in_safe_mode as _in_safe_mode


def in_safe_mode():
    """Whether a model is being loaded with `safe_mode=True`, so that its file must not run code.

    Keras uses this for its own Lambda layer. If it is removed, layers that run code must be
    refused in every mode.
    """
    return _in_safe_mode()
