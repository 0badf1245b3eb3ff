"""Stores probabilities as logits: float16 has no values between 0 and 6e-8, nor just below 1.

With a temperature, the logarithm of a small probability matters, and for a sigmoid also the
logarithm of 1 minus the probability. Logits keep both, with a relative error of 1/2000.
"""

import numpy as np

_LARGEST_FLOAT16 = 65504.0
# A softmax may exceed 1 by rounding.
_ABOVE_ONE = 1e-6


def encode_values(name, values, dtype, as_logits):
    """Returns the array to store, by its name.

    Args:
        name: Name of the output.
        values: The teacher's output, float32.
        dtype: The stored dtype, "float16" or "float32".
        as_logits: Whether values that all lie in [0, 1] are stored as logits.

    Raises:
        ValueError: If the values are too large for float16.
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
    """Returns the values of `encode_values` at some places, as exactly as they are stored."""
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
