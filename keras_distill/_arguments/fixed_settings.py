"""Settings that a compiled step contains: setting them later would have no effect."""


def refuse(owner, name, value, remedy):
    """Raises `ValueError` for a setting that is set after the step may have been compiled.

    Args:
        owner: The object whose setting it is.
        name: The setting's name.
        value: The refused value.
        remedy: A sentence that says what to do instead.
    """
    raise ValueError(
        f"{name} of {type(owner).__name__} cannot be set later: compiled steps would go on with "
        f"what it was before. Received: {name} = {value!r}. {remedy}"
    )
