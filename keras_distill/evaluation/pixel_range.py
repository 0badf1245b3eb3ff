"""Pictures that were divided by 255 for a model that does it itself, or were not for another."""

import keras
import numpy as np

from keras_distill.evaluation.held_out import batches
from keras_distill.evaluation.held_out import take
from keras_distill.export.pixels import are_pixels

# About as many examples are looked at.
_NUM_EXAMPLES = 256


def check_pixel_range(name, source, columns, preprocessor):
    """Raises `ValueError` if pictures have another range than the model says that it reads.

    Args:
        name: The model's name, for the error.
        source: The model's `Source`.
        columns: Nested `Column`s of the examples.
        preprocessor: Function from a batch of examples to the model's inputs.
    """
    ranges = {}
    num_examples = len(keras.tree.flatten(columns)[0])
    for places in batches(columns, source.batch_size):
        # Data may be sorted, so a few examples of each batch are looked at.
        chosen = places[:: max(1, num_examples // _NUM_EXAMPLES)]
        inputs = preprocessor(take(columns, chosen))
        for input_name, pixels in source.pixels(inputs).items():
            lowest, highest = ranges.get(input_name, (np.inf, -np.inf))
            ranges[input_name] = min(lowest, pixels.min()), max(highest, pixels.max())
        if not ranges:
            return
    for input_name, (lowest, highest) in ranges.items():
        is_black = lowest == highest == 0
        if not is_black and not are_pixels(lowest, highest):
            raise ValueError(
                f"models[{name!r}] must get pictures as it says by its Rescaling or metadata, so "
                f"that they are pixels from 0 to 255. Received: the input {input_name!r}, which is "
                f"pixels from {lowest:.4g} to {highest:.4g} by that. Give the pictures as this "
                f"model was trained on them, or preprocessors={{{name!r}: function}} to scale them."
            )
