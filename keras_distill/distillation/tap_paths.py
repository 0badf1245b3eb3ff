"""Paths of taps: they name layers, or entries of a model's outputs."""

import difflib
import re

import keras

from keras_distill._keras.layers import flatten_layers
from keras_distill._keras.masks import is_attention

ATTENTION_SCORES = "attention_scores"


def find(model, path):
    """Returns the layer that a path names, and the item of its output, or None.

    Args:
        model: A `keras.Model` or layer.
        path: Layer names from the outside in, joined by "/"; a suffix is enough when
            only one layer has it. "[3]" or "[key]" after it picks from a list or
            dict output. "attention/attention_scores" gives the attention
            probabilities of a `keras.layers.MultiHeadAttention`, with a Keras mask of
            the queries; "attention/query", "/key" and "/value" give the projected
            queries, keys and values of each head.

    Raises:
        ValueError: If no layer or more than one fits; the message lists similar paths.
    """
    layer_path, _, item = path.partition("[")
    wants_scores = layer_path.endswith("/" + ATTENTION_SCORES)
    if wants_scores:
        layer_path = layer_path.removesuffix("/" + ATTENTION_SCORES)
    known = layer_paths(model)
    matches = {
        id(layer): layer
        for known_path, layer in known
        if known_path == layer_path or known_path.endswith("/" + layer_path)
    }
    exact = [layer for known_path, layer in known if known_path == layer_path]
    if len(exact) != 1 and len(matches) != 1:
        raise ValueError(_no_single_layer(model, path, layer_path, known, bool(matches)))
    layer = exact[0] if len(exact) == 1 else next(iter(matches.values()))
    if wants_scores:
        if not is_attention(layer):
            raise ValueError(
                f"{path!r} asks for attention scores, which keras.layers.MultiHeadAttention has; "
                "the file of a TF-Hub module has no attention, only hidden states. "
                f"Received: the layer {layer.name!r} of type {type(layer).__name__}."
            )
        return layer, ATTENTION_SCORES
    return layer, "[" + item if item else None


def layer_paths(model):
    """Lists `(path, layer)` of every layer inside `model`, outermost first."""
    paths, seen, queue = [], {id(model)}, [("", model)]
    while queue:
        prefix, parent = queue.pop(0)
        for layer in flatten_layers(parent, include_self=False, recursive=False):
            if isinstance(layer, keras.layers.InputLayer):
                continue  # Keras never calls input layers.
            path = f"{prefix}{layer.name}"
            paths.append((path, layer))
            if id(layer) not in seen:
                seen.add(id(layer))
                queue.append((path + "/", layer))
    return paths


def read(outputs, path):
    """Reads one tensor of a model's outputs by key and index.

    Args:
        outputs: A tensor, or dicts, lists and tuples of tensors.
        path: "output" for all outputs (or for the entry of that name);
            else a key, or keys and indices: "encoder_outputs[3]", "a/b", "[0][key]".

    Raises:
        KeyError: If there is nothing at the path.
    """
    if isinstance(outputs, dict) and path in outputs:
        return outputs[path]
    name, *items = [part for part in re.split(r"[/\[\]]+", path) if part] or [path]
    if name != "output" or (isinstance(outputs, dict) and "output" in outputs):
        items = [name, *items]
    for item in items:
        if isinstance(outputs, dict) and item in outputs:
            outputs = outputs[item]
        elif isinstance(outputs, (list, tuple)) and re.fullmatch(r"-?\d+", item):
            try:
                outputs = outputs[int(item)]
            except IndexError:
                raise KeyError(path) from None
        else:
            raise KeyError(path)
    return outputs


def _no_single_layer(model, path, layer_path, known, is_ambiguous):
    if is_ambiguous:
        fitting = [p for p, _ in known if p == layer_path or p.endswith("/" + layer_path)]
        return (
            f"The tap {path!r} fits {len(fitting)} layers of {model.name!r}: {sorted(fitting)}. "
            "Give the path of one, from further out."
        )
    names = [known_path for known_path, _ in known]
    nearest = difflib.get_close_matches(layer_path, names, n=5, cutoff=0.3) or names[:5]
    return f"The tap {path!r} names no layer of {model.name!r}. The nearest are: {nearest}."
