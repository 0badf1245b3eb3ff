"""Lengths to which the texts of a job are padded."""

_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


def lengths_up_to(sequence_length):
    """A few lengths, of which the last is `sequence_length`."""
    return (*(length for length in _LENGTHS if length < sequence_length), sequence_length)
