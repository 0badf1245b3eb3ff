"""Locks of folders: a folder that a killed process has left is unlocked and may be removed."""

import contextlib
import os
import shutil

try:
    import fcntl
except ImportError:  # Windows does not have this module.
    fcntl = None


def lock(folder, wait=False):
    """Locks a folder itself, without a lock file, as long as this process lives.

    Returns:
        A handle for `unlock`; None if another process holds the lock, or if folders cannot be
        locked, as on Windows and some network disks, where nothing is removed.
    """
    if fcntl is None:
        return None
    try:
        # O_DIRECTORY is needed because opening a pipe would never end.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def unlock(held):
    """Releases a lock."""
    if held is not None:
        os.close(held)


@contextlib.contextmanager
def locked(folder, wait=False):
    """A context in which a folder is locked; yields whether it is."""
    held = lock(folder, wait)
    try:
        yield held is not None
    finally:
        unlock(held)


def remove_unlocked(folders):
    """Removes folders that no process has locked; the lock of a killed process is gone."""
    for folder in folders:
        with locked(folder) as is_locked:
            if is_locked:
                shutil.rmtree(folder, ignore_errors=True)
