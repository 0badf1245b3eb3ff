"""Imports large packages only when they are used, so that this one loads as fast as Keras."""

import importlib

# What pip cannot install everywhere; the sentence stands behind the command that installs it.
_NOT_EVERYWHERE = {
    "tensorflow-text": ". Windows has no such package: use WSL2 there. Vocabularies of words, "
    "their students and other teachers work without it"
}


def import_module(name, extra=None):
    """Imports a module when it is used.

    Args:
        name: The module's full name, such as "ai_edge_litert.interpreter".
        extra: The extra of this package that installs it; None if its distribution has the name.

    Raises:
        ImportError: If it cannot be imported; the message has the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        distribution = name.partition(".")[0].replace("_", "-")
        if extra is not None:
            distribution = f"keras-distill[{extra}]"
        raise ImportError(
            f"{name} is needed here and cannot be imported ({error}): pip install {distribution}"
            + _NOT_EVERYWHERE.get(distribution, "")
        ) from error
