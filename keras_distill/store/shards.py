"""Shards: the stored arrays of some examples, either complete or missing."""

import functools
import hashlib
import json
import re
import reprlib
import stat
import urllib.parse

import numpy as np
import xxhash

from keras_distill._arguments.printable import one_line
from keras_distill._files.destination import new_folder

FINGERPRINTS = "fingerprints"
DROPPED = "dropped"
_DESCRIPTION = "shard.json"
_FEWEST_OPEN, _MOST_OPEN = 8, 256


class Shard:
    """A folder with one .npy file for each array, and a file with their checksums.

    One rename gives a complete shard its name, so that a process that dies while it
    writes never leaves an incomplete shard.

    Args:
        folder: The store's `pathlib.Path`.
        index: The shard's number.
        load: Function from a path to the array in it: `loader()`, one for all shards of a store.
    """

    def __init__(self, folder, index, load=None):
        self.path = folder / f"shard_{index:05d}"
        self._load = load or load_array
        self._has = {}

    def exists(self):
        return self.path.exists()

    def write(self, arrays):
        """Writes arrays by name, all with at least one row for each example.

        Several processes may write a shard at once: the first one's stays, and the others
        discard theirs, which are the same.

        Raises:
            OSError: If the disk is full or cannot be written; nothing is left behind.
        """
        try:
            with new_folder(self.path) as whole:
                _write(whole, arrays)
        except OSError as error:
            if self.exists():
                return  # Another process was first.
            raise OSError(
                error.errno,
                f"{self.path} cannot be written: {error.strerror}. The shards before it are kept: "
                "make room, or give write access, and build again",
            ) from error

    def check(self, columns, num_examples):
        """Raises `ValueError` unless every file is present, unchanged, and fits these columns.

        Args:
            columns: Iterable of the store's columns.
            num_examples: Number of examples in the shard, including those that were left out.
        """
        files = self._description()
        for name, expected in files.items():
            _check_file(self.path / name, expected)
        # Checksums come first: for an incomplete file, types and shapes are not the problem.
        num_dropped = self.num_dropped()
        num_rows = num_examples - num_dropped
        specs = {FINGERPRINTS: ("uint64", (num_rows, 2)), DROPPED: ("int64", (num_dropped,))}
        for column in columns:
            specs |= column.specs(self, num_rows)
        if differing := set(files) ^ set(map(_file_name, specs)):
            raise ValueError(
                f"{self.path / _DESCRIPTION} must list the arrays of the store's outputs. "
                f"Received: {reprlib.repr(sorted(files))}; too much, or missing: "
                f"{reprlib.repr(sorted(differing))}. {_REMEDY}"
            )
        for name, (dtype, shape) in specs.items():
            self._checked_array(name, dtype, shape)
        places = self.read(DROPPED)
        is_sorted = np.all(np.diff(places) > 0) and np.all((places >= 0) & (places < num_examples))
        wrong = [] if is_sorted else [DROPPED]
        wrong += [name for column in columns for name in column.wrong_arrays(self)]
        if wrong:
            raise ValueError(
                f"{self.path / _file_name(wrong[0])} must say where things are in the shard, and "
                f"does not: its numbers fit no examples or classes of it. {_REMEDY}"
            )

    def num_dropped(self):
        """Number of examples that were left out."""
        return len(self._checked_array(DROPPED, "int64", (None,)))

    def _description(self):
        """Dict from file name to size and checksum."""
        path = self.path / _DESCRIPTION
        try:
            _check_regular(path)
            files = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{path} cannot be read: {one_line(error)}. {_REMEDY}") from error
        is_description = isinstance(files, dict) and all(map(_is_array_file, files.items()))
        if not is_description:
            raise ValueError(
                f"{path} must list .npy files of its own folder, with num_bytes and checksum of "
                f"each. Received: {reprlib.repr(files)}. {_REMEDY}"
            )
        return files

    def _checked_array(self, name, dtype, shape):
        path = self.path / _file_name(name)
        try:
            _check_regular(path)
            array = self._load(path)
        except Exception as error:
            # NumPy raises many kinds of errors for an invalid header.
            raise ValueError(f"{path} cannot be read: {one_line(error)}. {_REMEDY}") from error
        fits = len(array.shape) == len(shape) and all(
            wanted in (None, size) for size, wanted in zip(array.shape, shape)
        )
        if array.dtype != dtype or not fits:
            raise ValueError(
                f"{path} must hold {dtype} of shape {shape}, as the manifest has it. Received: "
                f"{array.dtype} of shape {array.shape}. {_REMEDY}"
            )
        return array

    def has(self, name):
        """Whether there is such an array."""
        if name not in self._has:
            self._has[name] = (self.path / _file_name(name)).exists()
        return self._has[name]

    def read(self, name):
        """Maps an array into memory; only the parts in use are read."""
        return self._load(self.path / _file_name(name))


_REMEDY = "Remove the shard's folder and build the store again: only what is missing is labelled."


def loader():
    """A function like `load_array` that keeps a store's arrays open, up to a limit.

    Each array keeps a file open, and a process may have 1,024 open files, or 256 under macOS. The
    function's `cache_clear` closes them.
    """
    return functools.lru_cache(maxsize=_most_open())(load_array)


def load_array(path):
    """Maps the array of a file into memory."""
    array = np.lib.format.open_memmap(path, mode="r")
    # A plain ndarray is faster to access than the class memmap.
    return array.view(np.ndarray)


def _most_open():
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return _MOST_OPEN
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return _MOST_OPEN
    return max(_FEWEST_OPEN, min(_MOST_OPEN, limit // 4))


def _write(folder, arrays):
    folder.mkdir()
    for name, array in arrays.items():
        with open(folder / _file_name(name), "wb") as file:
            np.save(file, array, allow_pickle=False)
    files = {_file_name(name): _describe(folder / _file_name(name)) for name in arrays}
    with open(folder / _DESCRIPTION, "w", encoding="utf-8") as file:
        json.dump(files, file, indent=1, sort_keys=True)


def _file_name(name):
    return urllib.parse.quote(name, safe="") + ".npy"


def _is_array_file(item):
    name, description = item
    is_own = re.fullmatch(r"[\w.%~-]{1,250}\.npy", name, re.ASCII)
    return is_own and isinstance(description, dict) and set(description) == _DESCRIBED


_DESCRIBED = {"num_bytes", "checksum"}


def _check_file(path, expected):
    try:
        _check_regular(path)
        size = path.stat().st_size
        if size != expected["num_bytes"]:
            raise ValueError(
                f"{path} has {size:,} bytes, not the {reprlib.repr(expected['num_bytes'])} that "
                f"were written. {_REMEDY}"
            )
        if _describe(path) != expected:
            raise ValueError(f"{path} is corrupt: its checksum differs. {_REMEDY}")
    except FileNotFoundError:
        raise ValueError(f"{path} is missing. {_REMEDY}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {one_line(error)}. {_REMEDY}") from error


def _check_regular(path):
    """Raises for files that are not regular: a stranger's store may link to endless devices."""
    store = path.parent.parent.resolve()
    if not stat.S_ISREG(path.stat().st_mode) or not path.resolve().is_relative_to(store):
        raise ValueError(
            f"{path} must be a file inside of the store. Received: {path.resolve()}, which is a "
            f"device, a folder or elsewhere. {_REMEDY}"
        )


def _describe(path):
    with open(path, "rb") as file:
        checksum = hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()
    return {"num_bytes": path.stat().st_size, "checksum": checksum}
