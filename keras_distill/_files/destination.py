"""Destinations on disk: checked before the work, replaced in one step after it."""

import contextlib
import os
import pathlib
import shutil
import tempfile

from keras_distill._files import folder_locks

_HIDDEN = ".writing-"


def check_destination(name, path, kind):
    """Raises unless a file, or a folder, can be written at a path.

    Args:
        name: The argument's name.
        path: A `pathlib.Path`; missing parent folders are made later.
        kind: "file" or "folder".

    Raises:
        ValueError: If the path has something of another kind, or a folder cannot be made.
        PermissionError: If this user may not write there.
    """
    is_file = kind == "file"
    if path.exists() and path.is_dir() == is_file:
        found = "folder" if is_file else "file"
        raise ValueError(f"{name} must be a {kind}. Received: {path}, which is a {found}.")
    if path.is_symlink() and not is_file and not path.exists():
        raise ValueError(f"{name} must be a {kind}. Received: {path}, a link to what is not there.")
    folder = next(parent for parent in (path / "x").absolute().parents if parent.exists())
    if folder == path.absolute() and is_file:
        folder = folder.parent
    if not folder.is_dir():
        raise ValueError(f"{name} must be in a folder. Received: {path}, where {folder} is a file.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"{name} must be where you may write. Received: {path}; {folder} is not writable."
        )


def check_replaces_none(name, path, inputs):
    """Raises `ValueError` if writing a file would replace one that is read.

    Args:
        name: Name of the argument with the path.
        path: The file to write, or None.
        inputs: Paths of all files that are read; None stands for none.
    """
    paths = [path, *inputs] if path is not None and os.path.exists(path) else []
    for found in paths[1:]:
        if found is not None and os.path.exists(found) and os.path.samefile(path, found):
            raise ValueError(
                f"{name} must be another file than those that are read. Received: {path}, which "
                "would be replaced."
            )


@contextlib.contextmanager
def hidden_folder(folder):
    """A temporary folder inside another, on the same disk, so that one rename publishes it.

    Its name begins with a dot, so that servers do not treat it as a version. Folders that killed
    processes have left are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with folder_locks.locked(folder, wait=True):
        folder_locks.remove_unlocked(folder.glob(f"{_HIDDEN}*"))
        # While the outer lock is held, other processes cannot see the new folder unlocked.
        temporary = tempfile.TemporaryDirectory(prefix=_HIDDEN, dir=folder)
        held = folder_locks.lock(temporary.name)
    try:
        with temporary as hidden:
            yield pathlib.Path(hidden)
    finally:
        folder_locks.unlock(held)


def remove_hidden_folders(folder):
    """Removes each `hidden_folder` that a killed process has left."""
    for hidden in folder.glob(f"{_HIDDEN}*"):
        shutil.rmtree(hidden, ignore_errors=True)


@contextlib.contextmanager
def replaced_file(path):
    """A context that yields a hidden path to write to; at the end, it replaces `path`.

    Another process, and the next one after a crash, sees the earlier file or the complete new one.
    """
    path = pathlib.Path(path)
    if path.parent.name.startswith(_HIDDEN):
        # Nobody else sees this file, and its folder is locked: waiting for it would never end.
        yield path
        return
    with hidden_folder(path.parent) as folder:
        written = folder / path.name
        yield written
        _flush(written)
        os.replace(written, path)


@contextlib.contextmanager
def new_folder(path):
    """A context that yields a hidden path for a folder; at the end, it gets the name `path`.

    Raises:
        OSError: If there are files at `path` by then. They stay.
    """
    with hidden_folder(path.parent) as folder:
        written = folder / path.name
        yield written
        for file in written.rglob("*"):
            if file.is_file():
                _flush(file)
        os.rename(written, path)


def _flush(path):
    # A disk may otherwise store the new name before the content.
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
