"""Reads arrays of an .npz file within a limit of memory."""

import math
import pathlib
import zipfile

import numpy as np

from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_arrays(path, names, max_bytes):
    """Reads arrays of an .npz file and checks their checksums.

    Args:
        path: The file.
        names: Names of the arrays; others in the file are not read.
        max_bytes: Largest memory of all arrays together, according to their headers.

    Returns:
        A list of arrays.

    Raises:
        ValueError: If there is no such file, it is damaged or lacks an array, or an array is too
            large or contains Python objects.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(
            f"An .npz file must be there. Received: {printable(path)}, which {found_at(path)}."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            found = [name.removesuffix(".npy") for name in archive.namelist()]
            if missing := [name for name in names if found.count(name) != 1]:
                raise _RefusedError(
                    f"{path} must have the arrays {', '.join(names)}, each once. Received: "
                    f"{printable(str(sorted(found)))}; without {', '.join(missing)}"
                )
            sizes = [_num_bytes(path, archive, name) for name in names]
            if sum(sizes) > max_bytes:
                raise _RefusedError(
                    f"{path} must fit in memory, {max_bytes / 2**30:.2g} GiB are left. Received: "
                    f"arrays of {sum(sizes) / 2**30:.2g} GiB. Give fewer images, or smaller ones."
                )
            return [_read(archive, name) for name in names]
    except _RefusedError as error:
        raise ValueError(str(error)) from None
    except Exception as error:
        # zipfile, zlib and NumPy fail in many ways if a file is damaged.
        raise ValueError(
            f"{path} must be an .npz file as numpy.savez writes it. Received: "
            f"{type(error).__name__}: {one_line(error)}"
        ) from None


def has_array(path, name):
    """Whether an .npz file has an array with this name; False if it is not such a file."""
    return zipfile.is_zipfile(path) and f"{name}.npy" in zipfile.ZipFile(path).namelist()


class _RefusedError(Exception):
    """The error for a file that is wrong, but not damaged."""


def _num_bytes(path, archive, name):
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise _RefusedError(
                f"{path} must have plain arrays. Received: {name}, in version {version}"
            )
        shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise _RefusedError(
            f"{path} must have plain arrays. Received: Python objects in {name}, which NumPy reads "
            "with allow_pickle alone: such files can run code. Save numbers, or texts as str."
        )
    return math.prod(shape) * dtype.itemsize


def _read(archive, name):
    with archive.open(f"{name}.npy") as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        # zipfile compares the checksum at the end of the file, so the read must reach it.
        if file.read(1):
            raise ValueError(f"{name} has more bytes than its header says")
    return array
