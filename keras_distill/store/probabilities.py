"""Probabilities are stored as logits: float16 has none between 0 and 6e-8, nor just below 1.

What a temperature makes of a small probability depends on its logarithm, and of a sigmoid's on
that of the rest to 1. Logits have both, with an error of a two-thousandth of them.
"""

import numpy as np

_LARGEST_FLOAT16 = 65504.0
# A softmax rounds off.
_ABOVE_ONE = 1e-6


def encode_values(name, values, dtype, as_logits):
    """Returns the array to store, by its name.

    Args:
        name: Name of the output.
        values: Of the teacher, float32.
        dtype: What is stored, "float16" or "float32".
        as_logits: Whether values that all lie in [0, 1] are stored as logits.

    Raises:
        ValueError: If float16 does not hold them.
    """
    if as_logits and could_be_probabilities(values):
        return {logits_name(name): _to_logits(values).astype(dtype)}
    largest = np.max(np.abs(values), initial=0.0)
    if dtype == "float16" and _LARGEST_FLOAT16 < largest < np.inf:
        raise ValueError(
            f"The teacher's {name!r} has values of {largest:.4g}, and float16 holds "
            f"{_LARGEST_FLOAT16:,.0f} at most. Give dtype='float32'."
        )
    return {name: values.astype(dtype)}


def decode_values(name, shard, places):
    """Returns what was given to `encode_values`, at some places, as exactly as it is stored."""
    if shard.has(logits_name(name)):
        return _from_logits(shard.read(logits_name(name))[places])
    return shard.read(name)[places]


def logits_name(name):
    """Name of the array that holds an output's values as logits."""
    return f"{name}.logits"


def could_be_probabilities(values):
    """Whether all values lie in [0, 1]; there must be some."""
    return values.size > 0 and bool(values.min() >= 0 and values.max() <= 1 + _ABOVE_ONE)


def _to_logits(values):
    probabilities = np.minimum(values.astype("float64"), 1)
    with np.errstate(divide="ignore"):
        return np.log(probabilities) - np.log1p(-probabilities)


def _from_logits(logits):
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-logits.astype("float64")))).astype("float32")
