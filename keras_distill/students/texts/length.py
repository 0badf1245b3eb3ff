"""Checks the number of ids per text."""

from keras_distill._arguments.checks import check_integers


def check_sequence_length(sequence_length, max_sequence_length=None):
    """Raises unless a length is None or a positive integer, at most the number of positions."""
    if sequence_length is None:
        return
    check_integers(sequence_length=sequence_length)
    if max_sequence_length is not None and sequence_length > max_sequence_length:
        raise ValueError(
            f"sequence_length must be at most {max_sequence_length}, the number of positions. "
            f"Received: sequence_length={sequence_length}"
        )
