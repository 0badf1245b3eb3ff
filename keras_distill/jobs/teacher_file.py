"""The file of a ready teacher; errors say which teachers are accepted."""

import os

from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at
from keras_distill._keras.model_files import load_model_file


def check_teacher_file(path, may_be):
    """Raises `ValueError` unless there is a file.

    Args:
        path: The path of the file.
        may_be: The accepted teachers, for the error.
    """
    if not os.path.isfile(path):
        raise ValueError(
            f"teacher must be {may_be}. Received: {os.fspath(path)!r}, which {found_at(path)}."
        )


def load_teacher(path, may_be):
    """As `load_model_file`, with errors that name the argument.

    Args:
        path: The file.
        may_be: The accepted teachers, for the error.
    """
    check_teacher_file(path, may_be)
    try:
        return load_model_file(path)
    except ValueError as error:
        raise ValueError(
            f"teacher must be {may_be}. Received: {printable(path)}: {error}"
        ) from error
