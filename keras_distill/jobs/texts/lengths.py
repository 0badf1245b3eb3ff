"""Lengths to which the texts of a job are padded."""

_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


def lengths_up_to(max_length):
    """A few lengths, of which the last is `max_length`."""
    return (*(length for length in _LENGTHS if length < max_length), max_length)
