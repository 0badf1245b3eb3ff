"""Imports of the large packages: where they are used, so that ours loads as fast as Keras."""

import importlib


def import_module(name, extra=None):
    """Imports a module when it is used.

    Args:
        name: Its full name, such as "ai_edge_litert.interpreter".
        extra: Which of this package's extras installs it; None: it has a distribution's name.

    Raises:
        ImportError: If it cannot be imported, with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        distribution = name.partition(".")[0].replace("_", "-")
        if extra is not None:
            distribution = f"keras-distill[{extra}]"
        raise ImportError(
            f"{name} is needed here and cannot be imported ({error}): pip install {distribution}"
        ) from error
