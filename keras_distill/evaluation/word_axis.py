"""Finds the axis of the words in a tagger's outputs, as far as its batches show it."""

import keras
import numpy as np

# Rounding error in the sum of 8-bit probabilities.
_ROUNDING = 0.1


class WordAxis:
    """Checks a model's outputs, batch by batch: the axis of words must follow the batch axis.

    Args:
        is_told: Whether the model's layers show the axis of its classes.
    """

    def __init__(self, is_told):
        self._is_told = is_told
        self._undecided = None

    def look(self, answers, inputs):
        """Raises `ValueError` if the words are on the last axis, `(batch, tags, words)`."""
        lengths = {leaf.shape[1] for leaf in keras.tree.flatten(inputs) if len(leaf.shape) > 1}
        if answers.ndim != 3 or answers.shape[2] not in lengths:
            # The last axis is not the words, and the order is the same in all batches.
            self._is_told = self._is_told or answers.ndim == 3
            return
        is_first = answers.shape[1] not in lengths
        if not is_first and not self._is_told:
            sums_to_one = [np.abs(answers.sum(axis=axis) - 1).max() < _ROUNDING for axis in (-1, 1)]
            is_first = sums_to_one == [False, True]
            self._is_told = sums_to_one == [True, False]
            self._undecided = answers.shape
        if is_first:
            raise ValueError(
                "A model that tags must have its classes on the last axis, (batch, words, tags). "
                f"Received: {answers.shape} for inputs of {answers.shape[2]} words, as with "
                "data_format='channels_first'. Wrap the model in a function that moves the axis, "
                "such as lambda x: keras.ops.moveaxis(model(x), 1, -1)."
            )

    def check(self, owner):
        """Raises `ValueError` if no batch has shown the axis.

        Args:
            owner: The model's name.
        """
        if self._undecided is not None and not self._is_told:
            raise ValueError(
                f"models[{owner!r}] must show which axis its classes are on. Received: answers of "
                f"shape {self._undecided} for inputs of as many words. Give data of another "
                "length, such as with a column of padding more (of a file: another "
                "sequence_length), or a function that returns softmax probabilities, (batch, "
                "words, tags)."
            )
