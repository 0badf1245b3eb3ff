"""Checks the number of channels, which the layers of a loss need."""


def check_channels(loss, *shapes):
    """Raises `ValueError` if the last size of a shape (the channels) is not known."""
    if any(shape[-1] is None for shape in shapes):
        raise ValueError(
            f"{type(loss).__name__} has trained parts that are as wide as the features. "
            f"Received: features of unknown width, {', '.join(map(str, shapes))}. "
            "Tap a layer whose last size is known."
        )
