"""Checks that a model is deterministic, which random numbers would prevent."""

import numpy as np

from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import could_come_from

# Rounding, as a share of the largest value, that other orders of sums in threads explain, also in
# half precision.
_TOLERANCE = 2e-3
# Beyond this logit, the last digits of a float32 probability are noise.
_LARGEST_LOGIT = 12.0


def changed_output(first, second, tolerance=_TOLERANCE):
    """Compares the outputs of two runs on the same inputs.

    Probabilities are compared as logits, because those of a confident model are almost equal.

    Args:
        first, second: Dicts from the name of an output to an array, or a list of arrays.
        tolerance: Largest difference that counts as rounding, as a share of the largest value.

    Returns:
        The name of an output that differs by more than rounding, and its difference; None if
        there is none.
    """
    for name in first:
        values, others = _flat(first[name]), _flat(second[name])
        if values.shape != others.shape:
            return name, np.inf
        change = np.max(np.abs(_comparable(values) - _comparable(others)), initial=0.0)
        if change > tolerance * np.max(np.abs(_comparable(values)), initial=0.0):
            return name, float(np.max(np.abs(values - others)))
    return None


def _flat(values):
    rows = values if isinstance(values, list) else [values]
    flat = np.concatenate([np.empty(0), *(np.asarray(row, "float64").reshape(-1) for row in rows)])
    # NaN and infinity are ignored here, because another check reports them.
    return np.nan_to_num(flat)


def _comparable(values):
    if not could_come_from(SIGMOID, values):
        return values
    lowest = 1 / (1 + np.exp(_LARGEST_LOGIT))
    clipped = np.clip(values, lowest, 1 - lowest)
    return np.log(clipped) - np.log1p(-clipped)
