"""A path to a folder that TensorFlow does not treat as a pattern of file names."""

import atexit
import contextlib
import os
import pathlib
import re
import shutil
import stat
import tempfile
import time

from keras_distill._files import folder_locks

_PATTERN = re.compile(r"[\[\]*?{}\\]")
_PREFIX = "keras-distill-"
# After this time a new folder has its lock.
_SECONDS = 60
_held = {}


def plain_path(folder):
    """Another path to a folder, if its own path contains wildcard characters.

    TensorFlow looks for a SavedModel's variables by a pattern, and finds none in a folder such as
    "run [1]".

    Args:
        folder: The folder's path, a str or `pathlib.Path`.

    Returns:
        A str: the path itself, or that of a link to it. The link stays as long as the process,
        because a loaded module refers to its files by that path.

    Raises:
        ValueError: If there is no place for the link.
    """
    folder = os.fspath(folder)
    if not _PATTERN.search(folder) or "://" in folder:
        return folder
    links = pathlib.Path(_locked_folder())
    atexit.register(shutil.rmtree, links, ignore_errors=True)
    link = links / "folder"
    link.symlink_to(pathlib.Path(folder).resolve(), target_is_directory=True)
    return str(link)


@contextlib.contextmanager
def temporary_folder():
    """A temporary folder whose path, a str, has no wildcard characters, whatever TMPDIR is.

    Folders that killed processes have left there are removed.

    Raises:
        ValueError: If there is no place for the folder.
    """
    folder = _locked_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder_locks.unlock(_held.pop(folder))


def _locked_folder():
    """A new folder, locked until it is removed from `_held` or the process ends."""
    place = _plain_place()
    folder_locks.remove_unlocked(filter(_is_abandoned, pathlib.Path(place).glob(f"{_PREFIX}*")))
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
    _held[folder] = folder_locks.lock(folder)
    return folder


def _is_abandoned(folder):
    """Whether a folder is this user's, and old enough to be locked if its process lives."""
    try:
        found = folder.lstat()
    except OSError:  # The folder's own process has just removed it.
        return False
    is_own = hasattr(os, "getuid") and found.st_uid == os.getuid()
    return is_own and stat.S_ISDIR(found.st_mode) and time.time() - found.st_mtime > _SECONDS


def _plain_place():
    # After the first place come those that `tempfile` tries without environment variables.
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
