"""Locks of folders: what a process left that was killed has none, and may be removed."""

import contextlib
import os
import shutil

try:
    import fcntl
except ImportError:  # On Windows.
    fcntl = None


def lock(folder, wait=False):
    """Locks a folder itself, which leaves no file in it, as long as this process lives.

    Returns:
        What `unlock` takes; None if another process holds it, or where folders cannot be locked,
        as on Windows and some network disks: there nothing is removed.
    """
    if fcntl is None:
        return None
    try:
        # Of a pipe, opening would never end.
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
    """Ends a lock."""
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
    """Removes folders that no process holds: the lock of one that was killed is gone."""
    for folder in folders:
        with locked(folder) as is_locked:
            if is_locked:
                shutil.rmtree(folder, ignore_errors=True)
