"""Pictures that were divided by 255 for a model that does it itself, or were not for another."""

import keras
import numpy as np

from keras_distill.evaluation.held_out import batches
from keras_distill.evaluation.held_out import take
from keras_distill.export.pixels import are_pixels

# About as many examples are looked at.
_NUM_EXAMPLES = 256
# In standard deviations: a normalised picture spreads over more, and its mean is not as far from 0.
_LEAST_SPREAD, _FARTHEST_MEAN = 0.1, 20


def check_pixel_range(name, source, columns, preprocessor):
    """Raises `ValueError` if pictures have another range than the model says that it reads.

    Args:
        name: The model's name, for the error.
        source: The model's `Source`.
        columns: Nested `Column`s of the examples.
        preprocessor: Function from a batch of examples to the model's inputs.
    """
    pixels, normalized = {}, {}
    num_examples = len(keras.tree.flatten(columns)[0])
    for places in batches(columns, source.batch_size):
        # Data may be sorted, so a few examples of each batch are looked at.
        chosen = places[:: max(1, num_examples // _NUM_EXAMPLES)]
        inputs = preprocessor(take(columns, chosen))
        for found, values in (
            (pixels, source.pixels(inputs)),
            (normalized, source.normalized(inputs)),
        ):
            for input_name, of_batch in values.items():
                row = of_batch.min(), of_batch.max(), of_batch.mean()
                found.setdefault(input_name, []).append(row)
        if not (pixels or normalized):
            return
    for input_name, rows in pixels.items():
        lowest, highest, _ = _over_batches(rows)
        is_black = lowest == highest == 0
        if not is_black and not are_pixels(lowest, highest):
            raise ValueError(
                f"models[{name!r}] must get pictures as it says by its first product or metadata, "
                f"so that they are pixels from 0 to 255. Received: the input {input_name!r}, which "
                f"is pixels from {lowest:.4g} to {highest:.4g} by that. {_remedy(name)}"
            )
    for input_name, rows in normalized.items():
        lowest, highest, mean = _over_batches(rows)
        is_flat = 0 < highest - lowest < _LEAST_SPREAD
        if is_flat or abs(mean) > _FARTHEST_MEAN:
            raise ValueError(
                f"models[{name!r}] must get pictures on the scale of its Normalization layer, "
                f"which makes them about -2 to 2. Received: {input_name!r}, which becomes "
                f"{lowest:.4g} to {highest:.4g}, in the mean {mean:.4g}. {_remedy(name)}"
            )


def _over_batches(rows):
    lowest, highest, mean = zip(*rows)
    return min(lowest), max(highest), float(np.mean(mean))


def _remedy(name):
    return (
        "Give the pictures as this model was trained on them, or "
        f"preprocessors={{{name!r}: function}} to scale them."
    )
