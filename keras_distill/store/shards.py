"""Shards: the stored arrays of some examples, whole or not there at all."""

import functools
import hashlib
import json
import os
import urllib.parse

import numpy as np
import xxhash

from keras_distill.destination import hidden_folder

FINGERPRINTS = "fingerprints"
_DESCRIPTION = "shard.json"


class Shard:
    """A folder with one .npy file for each array, and a file with their checksums.

    It gets its name when it is complete, by one rename, so that a process that dies while
    it writes leaves none that is half there.

    Args:
        folder: The store's `pathlib.Path`.
        index: The shard's number.
    """

    def __init__(self, folder, index):
        self.path = folder / f"shard_{index:05d}"

    def exists(self):
        return self.path.exists()

    def write(self, arrays):
        """Writes arrays by name, all with one row, or more, for each example.

        Several processes may write a shard at once: the first one's stays, and the others
        discard theirs, which are the same.

        Raises:
            OSError: If the disk is full or cannot be written; nothing is left behind.
        """
        try:
            with hidden_folder(self.path.parent) as folder:
                whole = folder / self.path.name
                _write(whole, arrays)
                self._publish(whole)
        except OSError as error:
            raise OSError(
                error.errno,
                f"{self.path} cannot be written: {error.strerror}. The shards before it are kept: "
                "make room, or give write access, and build again",
            ) from error

    def _publish(self, whole):
        try:
            os.rename(whole, self.path)
        except OSError:
            # A folder with files is not replaced: another process was first.
            if not self.exists():
                raise

    def check(self):
        """Raises `ValueError` unless every file is there and as it was written."""
        files = self.description()
        for name, expected in files.items():
            path = self.path / name
            if not path.exists():
                raise ValueError(f"{path} is missing. {_REMEDY}")
            if path.stat().st_size != expected["num_bytes"]:
                raise ValueError(
                    f"{path} has {path.stat().st_size:,} bytes, not the {expected['num_bytes']:,} "
                    f"that were written. {_REMEDY}"
                )
            if _describe(path) != expected:
                raise ValueError(f"{path} is corrupt: its checksum differs. {_REMEDY}")

    def description(self):
        """Dict from file name to size and checksum."""
        path = self.path / _DESCRIPTION
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read: {error}. {_REMEDY}") from error

    def read(self, name):
        """Maps an array into memory; only what is used of it is read."""
        path = self.path / _file_name(name)
        return _map(path, path.stat().st_mtime_ns)


_REMEDY = "Remove the shard's folder and build the store again: only what is missing is labelled."


# Each has a file open, of which a process may have 1,024.
@functools.lru_cache(maxsize=256)
def _map(path, modified):
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    # Without the class memmap, which makes every access slower.
    return array.view(np.ndarray)


def _write(folder, arrays):
    folder.mkdir()
    for name, array in arrays.items():
        with open(folder / _file_name(name), "wb") as file:
            np.save(file, array, allow_pickle=False)
            _flush(file)
    files = {_file_name(name): _describe(folder / _file_name(name)) for name in arrays}
    with open(folder / _DESCRIPTION, "w", encoding="utf-8") as file:
        json.dump(files, file, indent=1, sort_keys=True)
        _flush(file)


def _file_name(name):
    return urllib.parse.quote(name, safe="") + ".npy"


def _flush(file):
    file.flush()
    os.fsync(file.fileno())


def _describe(path):
    with open(path, "rb") as file:
        checksum = hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()
    return {"num_bytes": path.stat().st_size, "checksum": checksum}
