"""Settings that a compiled step has in it: set later, they would do nothing."""


def refuse(owner, name, value, remedy):
    """Raises `ValueError` for a setting that is set after the step may have been compiled.

    Args:
        owner: The object whose setting it is.
        name: The setting's name.
        value: What it was to become.
        remedy: What to do instead, a sentence.
    """
    raise ValueError(
        f"{name} of {type(owner).__name__} cannot be set later: compiled steps would go on with "
        f"what it was before. Received: {name} = {value!r}. {remedy}"
    )
