"""Checks the number of ids per text."""

from keras_distill._arguments.checks import check_integers


def check_length(length, max_length=None):
    """Raises unless a length is None or a positive integer, at most the number of positions."""
    if length is None:
        return
    check_integers(length=length)
    if max_length is not None and length > max_length:
        raise ValueError(
            f"length must be at most {max_length}, the number of positions. "
            f"Received: length={length}"
        )
