"""Where an export goes: looked at before the work, replaced in one step after it."""

import contextlib
import os
import pathlib
import shutil
import tempfile

try:
    import fcntl
except ImportError:  # On Windows.
    fcntl = None

_HIDDEN = ".writing-"


def check_destination(name, path, kind):
    """Raises unless a file, or a folder, can be written at a path.

    Args:
        name: The argument's name.
        path: A `pathlib.Path`; folders on the way are made later.
        kind: "file" or "folder".

    Raises:
        ValueError: If something of another kind is there, or no folder can be made.
        PermissionError: If this user may not write there.
    """
    is_file = kind == "file"
    if path.exists() and path.is_dir() == is_file:
        found = "folder" if is_file else "file"
        raise ValueError(f"{name} must be a {kind}. Received: {path}, which is a {found}.")
    folder = next(parent for parent in (path / "x").absolute().parents if parent.exists())
    if folder == path.absolute() and is_file:
        folder = folder.parent
    if not folder.is_dir():
        raise ValueError(f"{name} must be in a folder. Received: {path}, where {folder} is a file.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"{name} must be where you may write. Received: {path}; {folder} is not writable."
        )


@contextlib.contextmanager
def hidden_folder(folder):
    """A temporary folder inside of another, on the same disk, so that one rename publishes.

    Its name begins with a dot: no server takes it for a version. What killed processes have left
    there is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, wait=True):
        _remove_abandoned(folder)
        # While the outer lock is held nobody finds the new folder without its own lock.
        temporary = tempfile.TemporaryDirectory(prefix=_HIDDEN, dir=folder)
        lock = _lock(temporary.name, wait=False)
    try:
        with temporary as hidden:
            yield pathlib.Path(hidden)
    finally:
        _unlock(lock)


def _remove_abandoned(folder):
    """Removes hidden folders that no process holds: the lock of one that was killed is gone."""
    for hidden in folder.glob(f"{_HIDDEN}*"):
        with _locked(hidden, wait=False) as is_locked:
            if is_locked:
                shutil.rmtree(hidden, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder, wait):
    lock = _lock(folder, wait)
    try:
        yield lock is not None
    finally:
        _unlock(lock)


def _lock(folder, wait):
    """Locks a folder itself, which leaves no file in it.

    Returns:
        What `_unlock` takes; None if another process holds it, or where folders cannot be locked,
        as on Windows and some network disks: there nothing is removed.
    """
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _unlock(lock):
    if lock is not None:
        os.close(lock)


def remove_hidden_folders(folder):
    """Removes what processes left in their `hidden_folder` that were killed."""
    for hidden in folder.glob(f"{_HIDDEN}*"):
        shutil.rmtree(hidden, ignore_errors=True)


@contextlib.contextmanager
def replaced_file(path):
    """A hidden path to write to; at the end, what is there takes the place of `path`."""
    path = pathlib.Path(path)
    with hidden_folder(path.parent) as folder:
        written = folder / path.name
        yield written
        os.replace(written, path)
