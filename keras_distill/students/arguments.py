"""Checks of the students' arguments."""

import numbers


def check_sizes(**sizes):
    """Raises unless every size is a positive integer."""
    for name, size in sizes.items():
        is_integer = isinstance(size, numbers.Integral) and not isinstance(size, bool)
        if not is_integer or size < 1:
            raise ValueError(f"{name} must be a positive integer. Received: {name}={size!r}")


def check_rates(**rates):
    """Raises unless every dropout rate is in [0, 1)."""
    for name, rate in rates.items():
        is_number = isinstance(rate, numbers.Real) and not isinstance(rate, bool)
        if not is_number or not 0 <= rate < 1:
            raise ValueError(
                f"{name} is the share that is dropped, from 0 to below 1. Received: {name}={rate!r}"
            )


def check_length(length, max_length=None):
    """Raises unless a length is None or a positive integer, at most the number of positions."""
    if length is None:
        return
    check_sizes(length=length)
    if max_length is not None and length > max_length:
        raise ValueError(
            f"length must be at most {max_length}, the number of positions. "
            f"Received: length={length}"
        )
