"""Checks that float16 is precise enough for a student to learn how an output varies."""

import numpy as np

from keras_distill.store.probabilities import could_be_probabilities
from keras_distill.store.probabilities import encode_values

# Rounding as a share of the outputs' variation; with more, a student would see steps.
_MOST_ROUNDING = 0.1
# Variation as a share of the largest value; less is rounding of the teacher's own float32.
_LEAST_SPREAD = 1e-6


def check_float16(outputs):
    """Raises `ValueError` for outputs whose variation is mostly lost in float16.

    Args:
        outputs: Dict from the name of an output to rows of some examples, as `Labeller` gives them.
    """
    for name, rows in outputs.items():
        values = _by_channel(rows)
        if not np.all(np.isfinite(values)):
            continue  # Such values raise another error, or are dropped.
        encode_values(name, values, "float16", as_logits=True)  # This raises for values too large.
        if could_be_probabilities(values):
            continue  # Probabilities are stored as logits.
        rounding = np.sqrt(np.mean(np.square(values.astype("float16") - values)))
        # The spread is the variation between examples or between classes.
        spread = max(np.sqrt(np.mean(np.var(values, axis=axis))) for axis in (0, 1))
        is_constant = spread <= _LEAST_SPREAD * np.max(np.abs(values))
        if not is_constant and rounding > _MOST_ROUNDING * spread:
            raise ValueError(
                f"float16 is too coarse for the teacher's {name!r}, whose values vary by "
                f"{spread:.3g} and would be rounded by {rounding:.3g}. Received: values from "
                f"{np.min(values):.6g} to {np.max(values):.6g}. Give dtype='float32'."
            )


def _by_channel(rows):
    """The rows as float64, `(entries, channels)`."""
    rows = [np.asarray(row, "float64") for row in rows]
    width = rows[0].shape[-1] if rows[0].ndim else 1
    return np.concatenate([row.reshape(-1, width) for row in rows])
