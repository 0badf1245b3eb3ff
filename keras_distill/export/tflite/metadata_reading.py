"""Reads the labels of a TFLite file of any origin from its metadata."""

import io
import struct
import zipfile

from flatbuffers import number_types
from flatbuffers.table import Table

from keras_distill._keras import tflite_files
from keras_distill.export.tflite import metadata_schema as schema

_MAX_BYTES = 2**24


def read_labels(path):
    """Reads the names of the classes of a file's first output.

    Args:
        path: The file, a `pathlib.Path`, of any origin.

    Returns:
        A tuple of str; None for a file without labels.

    Raises:
        ValueError: If the metadata cannot be read.
    """
    content = path.read_bytes()
    try:
        name = _labels_file(content)
        if name is None or not zipfile.is_zipfile(io.BytesIO(content)):
            return None
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if name not in archive.namelist():
                return None
            # A small archive can contain a file that is larger than the memory.
            _check_count(archive.getinfo(name).file_size, _MAX_BYTES)
            return tuple(archive.read(name).decode("utf-8").splitlines()) or None
    except (
        *(IndexError, KeyError, NotImplementedError, OverflowError, RuntimeError, TypeError),
        *(UnicodeDecodeError, ValueError, struct.error, zipfile.BadZipFile, zipfile.zlib.error),
    ) as error:
        raise ValueError(
            f"{path} must have metadata that can be read. Received: {type(error).__name__}: "
            f"{error}. The file is damaged: write it again."
        ) from error


def _labels_file(content):
    """The name of the packed file with the labels, or None."""
    model = tflite_files.schema().Model.GetRootAs(content, 0)
    _check_count(model.MetadataLength(), len(content))
    for place in range(model.MetadataLength()):
        entry = model.Metadata(place)
        if entry.Name() == schema.ENTRY.encode():
            stored = model.Buffers(entry.Buffer()).DataAsNumpy()
            if isinstance(stored, int):  # An empty buffer gives the integer 0.
                return None
            root = _root(stored.tobytes())
            for graph in _tables(root, "ModelMetadata", "subgraph_metadata"):
                for output in _tables(graph, "SubGraphMetadata", "output_tensor_metadata"):
                    for file in _tables(output, "TensorMetadata", "associated_files"):
                        if _byte(file, "AssociatedFile", "type") == schema.LABELS:
                            return _text(file, "AssociatedFile", "name")
                    return None
    return None


def _root(content):
    (offset,) = struct.unpack_from("<I", content)
    return Table(bytearray(content), offset)


def _place(table, kind, field):
    return table.Offset(schema.slot(kind, field))


def _tables(table, kind, field):
    place = _place(table, kind, field)
    if not place:
        return []
    start = table.Vector(place)
    count = table.VectorLen(place)
    _check_count(count, len(table.Bytes))
    return [Table(table.Bytes, table.Indirect(start + 4 * item)) for item in range(count)]


def _check_count(count, largest):
    if count > largest:
        raise OverflowError(count)


def _byte(table, kind, field):
    place = _place(table, kind, field)
    return table.Get(number_types.Uint8Flags, table.Pos + place) if place else 0


def _text(table, kind, field):
    place = _place(table, kind, field)
    return table.String(table.Pos + place).decode("utf-8") if place else None
