"""From nested inputs to those by name that a file takes."""

import keras


def named_inputs(owner, names, x):
    """Returns the inputs by name.

    Args:
        owner: Whose inputs, for the error.
        names: The names that the file has.
        x: A tensor, or a dict by these names.

    Raises:
        ValueError: If x has other names, or none where the file has several.
    """
    leaves = keras.tree.flatten(x)
    if isinstance(x, dict) and set(names) <= set(x):
        return {name: x[name] for name in names}
    if len(leaves) == 1 and len(names) == 1:
        return dict(zip(names, leaves))
    received = sorted(x) if isinstance(x, dict) else f"{len(leaves)} without names"
    raise ValueError(
        f"{owner} takes the inputs {sorted(names)}. Received: {received}. Give data whose x is a "
        "dict with these names, or a preprocessor that returns one."
    )
