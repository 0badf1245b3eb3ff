"""Describes in words what is at a path that should be something else."""

import pathlib


def found_at(path):
    """Returns "is a folder", "is a file", "is not there", or, for a device, "is no file"."""
    path = pathlib.Path(path)
    if path.is_dir():
        return "is a folder"
    if path.is_file():
        return "is a file"
    return "is no file" if path.exists() else "is not there"
