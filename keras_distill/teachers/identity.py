"""Identifies a teacher by its weights, configuration and vocabulary."""

import json
import re

import keras
import numpy as np
import xxhash

from keras_distill._keras.layers import flatten_layers
from keras_distill._keras.signatures import captured_arrays
from keras_distill._keras.signatures import describe_graph
from keras_distill._keras.signatures import is_signature
from keras_distill.teachers.config_modules import with_former_modules
from keras_distill.teachers.config_modules import without_modules
from keras_distill.teachers.text_inputs import TextInputs
from keras_distill.teachers.text_inputs import known_tokens

_LOOKUPS = (
    keras.layers.IntegerLookup,
    keras.layers.StringLookup,
    keras.layers.TextVectorization,
)
# These keys do not identify a teacher: its place, and whether it was called or compiled.
_INCIDENTAL = ("build_config", "compile_config", "handle", "name")


def identify_teacher(teacher, version, stored=None):
    """Describes a teacher by hashes that are the same in another run, process or machine.

    Args:
        teacher: A `keras.Model`, a signature of a SavedModel, or another callable.
        version: Identifier of a callable without weights, or None.
        stored: The stored description of a teacher, for a comparison. If it has the hash that
            earlier versions gave this configuration, the result has this hash, too.

    Returns:
        Dict from "weights", "config", "vocabulary" and "version" to str or None.

    Raises:
        ValueError: If nothing identifies the teacher.
    """
    if is_signature(teacher):
        return {
            "weights": _hash(_weight_bytes(captured_arrays(teacher))),
            "config": _hash([describe_graph(teacher).encode()]),
            "vocabulary": None,
            "version": version,
        }
    weights = getattr(teacher, "weights", None)
    if weights is None:
        weights = getattr(teacher, "variables", ())
    if not weights and version is None:
        raise ValueError(
            "teacher has no weights, so a store cannot see when it changes. Received: "
            f"{teacher!r}. Give version, any string that you change when the teacher changes."
        )
    is_keras = isinstance(teacher, keras.layers.Layer)
    return {
        "weights": _hash(_weight_bytes(weights)) if weights else None,
        "config": _config_hash(teacher, stored) if is_keras else None,
        "vocabulary": _vocabulary(teacher, stored) if is_keras else None,
        "version": version,
    }


def _weight_bytes(weights):
    for weight in weights:
        values = weight
        if not isinstance(weight, np.ndarray):
            values = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        yield f"{values.dtype}{values.shape}".encode()
        if values.dtype == object:
            yield from (b"%d:%b" % (len(text), text) for text in values.reshape(-1).tolist())
        else:
            yield values.reshape(-1).view("uint8").data


def _config_hash(teacher, stored):
    config = _config(teacher)
    plain = without_modules(config)
    forms = _without_unset(plain), plain, with_former_modules(config)
    now, *earlier = (_hash([_as_text(form).encode()]) for form in forms)
    return stored["config"] if stored and stored.get("config") in earlier else now


def _config(teacher):
    try:
        return keras.saving.serialize_keras_object(teacher)
    except (NotImplementedError, ValueError):
        # A subclassed model may lack get_config, and a layer may not be saveable.
        return [type(layer).__qualname__ for layer in flatten_layers(teacher)]


def describe_config(config):
    """A text for a Keras configuration, equal for two objects made in the same way."""
    return _as_text(_without_unset(without_modules(config)))


def _without_unset(value):
    """A configuration without what is None or False.

    A new version of Keras gives its layers new arguments, and these are None or False in all
    models that were made before. So a store still opens after Keras is upgraded.
    """
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if item is not None and item is not False}
        return {key: _without_unset(item) for key, item in kept.items()}
    if isinstance(value, (list, tuple)):
        return [_without_unset(item) for item in value]
    return value


def _as_text(config):
    text = json.dumps(_essential(config, {}), sort_keys=True, default=str)
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _essential(value, numbers):
    if isinstance(value, dict):
        numbers = _number_layers(value.get("layers")) or numbers
        kept = {key: item for key, item in value.items() if key not in _INCIDENTAL}
        return {str(key): _essential(item, numbers) for key, item in kept.items()}
    if isinstance(value, (list, tuple)):
        return [_essential(item, numbers) for item in value]
    return numbers.get(value, value) if isinstance(value, str) else value


def _number_layers(configs):
    """Numbers by name, because automatic names, such as dense_7, count all layers made before.

    Each model is numbered separately, because nested models may have layers with equal names.
    """
    configs = enumerate(configs if isinstance(configs, list) else ())
    return {
        config["name"]: f"layer {number}"
        for number, config in configs
        if isinstance(config, dict) and "name" in config
    }


def _vocabulary(teacher, stored):
    layers = flatten_layers(teacher)
    preprocessors = [layer.preprocessor for layer in layers if isinstance(layer, TextInputs)]
    tokens = [known_tokens(preprocessor) for preprocessor in preprocessors]
    found = [token for some in tokens for token in some or ()]
    # Earlier versions did not hash vocabularies of Keras's layers, which are not in the
    # configuration after adapt().
    if not found and (stored is None or stored.get("vocabulary") is not None):
        lookups = [layer for layer in layers if isinstance(layer, _LOOKUPS)]
        found = [token for layer in lookups for token in layer.get_vocabulary()]
    return _hash(f"{token}\n".encode() for token in found) if found else None


def _hash(parts):
    digest = xxhash.xxh3_128()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
