"""How Keras loads a model just now."""

from keras.src.saving.serialization_lib import in_safe_mode as _in_safe_mode


def in_safe_mode():
    """Whether a model is being loaded with `safe_mode=True`: then its file may run no code.

    Keras asks it of its own Lambda layer. Should it go, a layer that runs code can no longer tell
    and must be refused in every mode.
    """
    return _in_safe_mode()
