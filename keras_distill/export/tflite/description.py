"""Describes the inputs, outputs and operations of a TFLite file."""

import collections
import dataclasses
import pathlib
import zipfile
from zipfile import BadZipFile

from keras_distill._arguments.printable import printable
from keras_distill.export.tflite.untrusted_file import LiteRTFile

# Largest packed file: larger than any vocabulary, but small enough for the memory.
_MAX_PART_BYTES = 256 * 2**20


@dataclasses.dataclass(frozen=True)
class TensorDescription:
    """One input or output.

    Args:
        name: Name in the signature.
        shape: Shape, a tuple; -1 for open sizes.
        dtype: Name of the NumPy dtype.
        scale, zero_point: For integers that represent floats,
            `float = scale * (integer - zero_point)`; else None.
    """

    name: str
    shape: tuple
    dtype: str
    scale: float | None
    zero_point: int | None

    def __str__(self):
        text = f"{printable(self.name)}: {self.dtype} {list(self.shape)}"
        if self.scale is not None:
            text += f" = {self.scale:.6g} * (integer - {self.zero_point})"
        return text


@dataclasses.dataclass(frozen=True)
class TFLiteDescription:
    """The result of `describe`; as a str, a page of text.

    Args:
        path: The file.
        num_bytes: Size of the file.
        inputs, outputs: `TensorDescription`s, sorted by name.
        operations: Number of each operation, by name, the most frequent first.
        files: Texts packed with the file's metadata, by name, such as labels.txt; None for
            a packed file that is not text.
    """

    path: pathlib.Path
    num_bytes: int
    inputs: tuple
    outputs: tuple
    operations: dict
    files: dict

    def __str__(self):
        lines = [f"{printable(str(self.path))}, {self.num_bytes:,} bytes"]
        for title, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            lines += [title, *(f"  {tensor}" for tensor in tensors)]
        counts = (f"{printable(name)} x {count}" for name, count in self.operations.items())
        lines += ["operations", "  " + ", ".join(counts)]
        if self.files:
            lines.append("packed files")
            lines += [
                f"  {printable(name)}: "
                + ("no text" if text is None else f"{len(text.splitlines())} lines")
                for name, text in self.files.items()
            ]
        return "\n".join(lines)


def describe_file(path):
    """Describes a TFLite file: the inputs that an app must give, and the outputs.

    Args:
        path: The file, of any origin, with one signature or none.

    Returns:
        A `TFLiteDescription`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a TFLite file, or its packed files are broken.
        RuntimeError: If LiteRT, which runs in a separate process, crashes or does not end.
        ImportError: If ai-edge-litert is not installed.

    Example:

    ```python
    print(kd.describe("student.tflite"))
    ```
    """
    path = pathlib.Path(path)
    file = LiteRTFile(path)
    return TFLiteDescription(
        path=path,
        num_bytes=path.stat().st_size,
        inputs=_tensors(file.inputs),
        outputs=_tensors(file.outputs),
        operations=dict(collections.Counter(file.operations).most_common()),
        files=_packed_files(path),
    )


def _tensors(details):
    return tuple(_tensor(name, detail) for name, detail in sorted(details.items()))


def _tensor(name, detail):
    scale, zero_point = detail["quantization"]
    return TensorDescription(
        name=name,
        shape=tuple(detail["shape_signature"]),
        dtype=detail["dtype"],
        scale=scale or None,
        zero_point=zero_point if scale else None,
    )


def _packed_files(path):
    """The parts of the zip archive that may follow a file; None for parts that are not text."""
    if not zipfile.is_zipfile(path):
        return {}
    name = None
    try:
        with zipfile.ZipFile(path) as archive:
            parts = {}
            for part in archive.infolist():
                name = part.filename
                if part.file_size > _MAX_PART_BYTES:
                    raise BadZipFile(f"it says that it has {part.file_size:,} bytes")
                parts[name] = archive.read(part)
    # zlib, encryption, unknown compression and wrong lengths raise different errors.
    except Exception as error:
        what = "the archive behind it" if name is None else f"its packed file {name!r}"
        raise ValueError(
            f"{path} is a TFLite file of which {what} cannot be read: {error}"
        ) from error
    return {name: _text(content) for name, content in parts.items()}


def _text(content):
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None
