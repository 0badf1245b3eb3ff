"""A path to a folder that TensorFlow does not take for a pattern of file names."""

import atexit
import os
import pathlib
import re
import shutil
import tempfile

_PATTERN = re.compile(r"[\[\]*?{}\\]")


def plain_path(folder):
    """Another path to a folder, if its own has a sign of patterns in it.

    TensorFlow looks for a SavedModel's variables by a pattern, and finds none in a folder such as
    "run [1]".

    Args:
        folder: The folder's path, a str or `pathlib.Path`.

    Returns:
        A str: the path itself, or that of a link to it. The link stays as long as the process, for
        a module that was loaded knows its files by that path.
    """
    folder = os.fspath(folder)
    if not _PATTERN.search(folder) or "://" in folder:
        return folder
    links = pathlib.Path(tempfile.mkdtemp(prefix="keras-distill-"))
    atexit.register(shutil.rmtree, links, ignore_errors=True)
    link = links / "folder"
    link.symlink_to(pathlib.Path(folder).resolve(), target_is_directory=True)
    return str(link)
