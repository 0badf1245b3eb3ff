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

    Raises:
        ValueError: If the link can be nowhere.
    """
    folder = os.fspath(folder)
    if not _PATTERN.search(folder) or "://" in folder:
        return folder
    links = pathlib.Path(tempfile.mkdtemp(prefix="keras-distill-", dir=_plain_place()))
    atexit.register(shutil.rmtree, links, ignore_errors=True)
    link = links / "folder"
    link.symlink_to(pathlib.Path(folder).resolve(), target_is_directory=True)
    return str(link)


def temporary_folder():
    """A `tempfile.TemporaryDirectory` whose path has no sign of patterns, whatever TMPDIR is.

    Raises:
        ValueError: If there is no place for it.
    """
    return tempfile.TemporaryDirectory(prefix="keras-distill-", dir=_plain_place())


def _plain_place():
    # Behind the first, those that `tempfile` tries where no variable names one.
    places = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/usr/tmp", os.getcwd()]
    for place in places:
        is_plain = os.name == "nt" or not _PATTERN.search(place)
        if is_plain and os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):
            return place
    raise ValueError(
        "TMPDIR must name a folder without any of []*?{} and \\ in its path: TensorFlow takes "
        f"these for a pattern of file names. Received: {places[0]!r}, and no other temporary "
        "folder can be written. Set TMPDIR to another folder."
    )
