"""The process that reads a model's weights before Keras does.

HDF5, a library in C, may crash or hang on a damaged or hostile file. This script gets the path of
the model, fails if it cannot read something, and has a limit of CPU time.
"""

import io
import os
import sys
import zipfile

# CPU time for any file, and for each MB of it.
_SECONDS, _SECONDS_PER_MB = 5, 0.1
# Largest allowed ratio of compression; Keras itself does not compress weights.
_MAX_EXPANSION = 100


def read(path):
    """Reads everything that Keras might read.

    Raises:
        Exception: If something cannot be read.
    """
    import h5py

    file = path
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".h5")]
            if not names:
                return
            file = io.BytesIO(archive.read(names[0]))
    limit = _MAX_EXPANSION * os.path.getsize(path)

    def read_item(name, item):
        dict(item.attrs)
        if isinstance(item, h5py.Group):
            for key in item:
                item.get(key, getlink=True)
            return
        if item.size * item.dtype.itemsize > limit:
            raise ValueError(f"{name!r} says that it has {item.size} values")
        item[()]

    with h5py.File(file, "r") as weights:
        read_item("/", weights)
        weights.visititems(read_item)


def main():
    path = sys.argv[1]
    try:
        import resource
    except ImportError:
        pass  # Windows does not have this module.
    else:
        seconds = int(_SECONDS + _SECONDS_PER_MB * os.path.getsize(path) / 1e6)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    read(path)


if __name__ == "__main__":
    main()
