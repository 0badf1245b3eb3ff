"""Reads the metadata of a TFLite file of any origin."""

import contextlib
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
    with _errors_that_name(path):
        content = path.read_bytes()
        name = _labels_file(_metadata(content))
        text = _packed_text(content, name)
        return None if text is None else tuple(text.splitlines()) or None


def read_tokenizer(path):
    """Reads how an app tokenizes texts for a file.

    Args:
        path: The file, a `pathlib.Path`, of any origin.

    Returns:
        `(name, pattern, lines)`: "bert" or "regex", the pattern of what is between words (None
        for "bert"), and the lines of the vocabulary. None for a file without tokenizer.

    Raises:
        ValueError: If the metadata cannot be read.
    """
    with _errors_that_name(path):
        content = path.read_bytes()
        for graph in _graphs(_metadata(content)):
            inputs = _tables(graph, "SubGraphMetadata", "input_tensor_metadata")
            units = [
                *_tables(graph, "SubGraphMetadata", "input_process_units"),
                *(
                    u
                    for tensor in inputs
                    for u in _tables(tensor, "TensorMetadata", "process_units")
                ),
            ]
            for unit in units:
                kind = _TOKENIZERS.get(_byte(unit, "ProcessUnit", "options_type"))
                if kind is None:
                    continue
                options = _table(unit, "ProcessUnit", "options")
                (file, *_) = _tables(options, kind, "vocab_file")
                text = _packed_text(content, _text(file, "AssociatedFile", "name"))
                pattern = None
                if kind == "RegexTokenizerOptions":
                    pattern = _text(options, kind, "delim_regex_pattern")
                # Tokens may have line ends of Unicode in them.
                lines = None if text is None else text.replace("\r\n", "\n").split("\n")
                return None if lines is None else (_NAMES[kind], pattern, lines)
    return None


def read_normalization(path):
    """Reads how an app normalises pixels from 0 to 255 for a file with one input.

    Args:
        path: The file, a `pathlib.Path`, of any origin.

    Returns:
        `(mean, std)`, two lists of one number or one for each channel: the input is
        (pixel - mean) / std. None for a file that says nothing of it, or has several inputs.

    Raises:
        ValueError: If the metadata cannot be read.
    """
    with _errors_that_name(path):
        for graph in _graphs(_metadata(path.read_bytes())):
            inputs = _tables(graph, "SubGraphMetadata", "input_tensor_metadata")
            if len(inputs) != 1:
                return None
            for unit in _tables(inputs[0], "TensorMetadata", "process_units"):
                if _byte(unit, "ProcessUnit", "options_type") == _NORMALIZATION:
                    options = _table(unit, "ProcessUnit", "options")
                    return tuple(
                        _floats(options, "NormalizationOptions", field) for field in ("mean", "std")
                    )
            return None
    return None


_NORMALIZATION = schema.OPTION_TYPES["NormalizationOptions"]
_NAMES = {"BertTokenizerOptions": "bert", "RegexTokenizerOptions": "regex"}
_TOKENIZERS = {schema.OPTION_TYPES[kind]: kind for kind in _NAMES}


@contextlib.contextmanager
def _errors_that_name(path):
    try:
        yield
    except (
        *(IndexError, KeyError, NotImplementedError, OverflowError, RuntimeError, TypeError),
        *(UnicodeDecodeError, ValueError, struct.error, zipfile.BadZipFile, zipfile.zlib.error),
    ) as error:
        raise ValueError(
            f"{path} must have metadata that can be read. Received: {type(error).__name__}: "
            f"{error}. The file is damaged: write it again."
        ) from error


def _metadata(content):
    """The root table of a file's metadata, or None."""
    model = tflite_files.schema().Model.GetRootAs(content, 0)
    _check_count(model.MetadataLength(), len(content))
    for place in range(model.MetadataLength()):
        entry = model.Metadata(place)
        if entry.Name() == schema.ENTRY.encode():
            stored = model.Buffers(entry.Buffer()).DataAsNumpy()
            # An empty buffer gives the integer 0.
            return None if isinstance(stored, int) else _root(stored.tobytes())
    return None


def _graphs(root):
    return [] if root is None else _tables(root, "ModelMetadata", "subgraph_metadata")


def _labels_file(root):
    """The name of the packed file with the labels, or None."""
    for graph in _graphs(root):
        for output in _tables(graph, "SubGraphMetadata", "output_tensor_metadata"):
            for file in _tables(output, "TensorMetadata", "associated_files"):
                if _byte(file, "AssociatedFile", "type") == schema.LABELS:
                    return _text(file, "AssociatedFile", "name")
            return None
    return None


def _packed_text(content, name):
    """The text of a file that is packed behind a TFLite file's own content, or None."""
    if name is None or not zipfile.is_zipfile(io.BytesIO(content)):
        return None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if name not in archive.namelist():
            return None
        # A small archive can contain a file that is larger than the memory.
        _check_count(archive.getinfo(name).file_size, _MAX_BYTES)
        return archive.read(name).decode("utf-8")


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


def _table(table, kind, field):
    place = _place(table, kind, field)
    if not place:
        raise KeyError(kind, field)
    return Table(table.Bytes, table.Indirect(table.Pos + place))


def _floats(table, kind, field):
    place = _place(table, kind, field)
    count = table.VectorLen(place) if place else 0
    _check_count(count, len(table.Bytes))
    start = table.Vector(place) if place else 0
    return [table.Get(number_types.Float32Flags, start + 4 * item) for item in range(count)]


def _check_count(count, largest):
    if count > largest:
        raise OverflowError(count)


def _byte(table, kind, field):
    place = _place(table, kind, field)
    return table.Get(number_types.Uint8Flags, table.Pos + place) if place else 0


def _text(table, kind, field):
    place = _place(table, kind, field)
    return table.String(table.Pos + place).decode("utf-8") if place else None
