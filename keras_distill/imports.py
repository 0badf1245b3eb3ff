"""Imports of the large packages: where they are used, so that ours loads as fast as Keras."""

import importlib


def import_module(name):
    """Imports a module when it is used.

    Args:
        name: Its full name, such as "ai_edge_litert.interpreter".

    Raises:
        ImportError: If it cannot be imported, with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        distribution = name.partition(".")[0].replace("_", "-")
        raise ImportError(
            f"{name} is needed here and cannot be imported ({error}): pip install {distribution}"
        ) from error
