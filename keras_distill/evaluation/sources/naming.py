"""Converts nested inputs to the named inputs of a file."""

import keras


def named_inputs(owner, names, x):
    """Returns the inputs by name.

    Args:
        owner: Owner of the inputs, for the error.
        names: The file's names of its inputs.
        x: A tensor, or a dict by these names.

    Raises:
        ValueError: If x has other names, or no names although the file has several inputs.
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
