"""Configurations of losses, with arguments that Keras leaves out, such as the delta of Huber."""

import inspect

import keras


def serialize_losses(losses):
    """Serializes losses for `keras.saving.deserialize_keras_object`.

    Args:
        losses: A `keras.losses.Loss`, a name or function of one, None, or nested dicts, lists and
            tuples of these.
    """
    return keras.saving.serialize_keras_object(keras.tree.map_structure(_serialize, losses))


def _serialize(loss):
    serialized = keras.saving.serialize_keras_object(loss)
    # Without these arguments, Huber(delta=0.3) and CosineSimilarity(axis=1) load as other losses.
    given = getattr(loss, "_fn_kwargs", None)
    if isinstance(serialized, dict) and given:
        known = inspect.signature(type(loss)).parameters
        left_out = {name: value for name, value in given.items() if name in known}
        serialized["config"] = {**left_out, **serialized["config"]}
    return serialized
