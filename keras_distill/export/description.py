"""What a TFLite file takes, gives and needs, read from the file."""

import collections
import dataclasses
import pathlib
import zipfile

import numpy as np

from keras_distill.export import litert


@dataclasses.dataclass(frozen=True)
class TensorDescription:
    """One input or output.

    Args:
        name: Its name in the signature.
        shape: Its shape, a tuple; -1 where the size is open.
        dtype: Its NumPy dtype's name.
        scale, zero_point: Of integers that stand for floats,
            `float = scale * (integer - zero_point)`; else None.
    """

    name: str
    shape: tuple
    dtype: str
    scale: float | None
    zero_point: int | None

    def __str__(self):
        text = f"{self.name}: {self.dtype} {list(self.shape)}"
        if self.scale is not None:
            text += f" = {self.scale:.6g} * (integer - {self.zero_point})"
        return text


@dataclasses.dataclass(frozen=True)
class TFLiteDescription:
    """What `describe` found; as a str, a page of text.

    Args:
        path: The file.
        num_bytes: Its size.
        inputs, outputs: `TensorDescription`s, sorted by name.
        operations: Number of each operation, by name, the most frequent first.
        files: Texts packed with the file's metadata, by name, such as labels.txt.
    """

    path: pathlib.Path
    num_bytes: int
    inputs: tuple
    outputs: tuple
    operations: dict
    files: dict

    def __str__(self):
        lines = [f"{self.path}, {self.num_bytes:,} bytes"]
        for title, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            lines += [title, *(f"  {tensor}" for tensor in tensors)]
        counts = (f"{name} x {count}" for name, count in self.operations.items())
        lines += ["operations", "  " + ", ".join(counts)]
        if self.files:
            lines.append("packed files")
            lines += [
                f"  {name}: {len(text.splitlines())} lines" for name, text in self.files.items()
            ]
        return "\n".join(lines)


def describe(path):
    """Describes a TFLite file: what an app has to give it, and what it answers.

    Args:
        path: The file, of any origin, with one signature or none.

    Returns:
        A `TFLiteDescription`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no TFLite file.
        ImportError: If ai-edge-litert is not installed.

    Example:

    ```python
    print(kd.describe("student.tflite"))
    ```
    """
    path = pathlib.Path(path)
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise ValueError(f"path must be a TFLite file. Received: {path}, which is none.")
    interpreter = litert.open_file(content)
    inputs, outputs = _tensors(interpreter)
    names = [operation["op_name"] for operation in interpreter._get_ops_details()]
    return TFLiteDescription(
        path=path,
        num_bytes=len(content),
        inputs=inputs,
        outputs=outputs,
        operations=dict(collections.Counter(names).most_common()),
        files=_packed_files(path),
    )


def _tensors(interpreter):
    signatures = list(interpreter.get_signature_list())
    if signatures:
        runner = interpreter.get_signature_runner(signatures[0])
        details = (runner.get_input_details(), runner.get_output_details())
    else:
        found = (interpreter.get_input_details(), interpreter.get_output_details())
        details = ({detail["name"]: detail for detail in half} for half in found)
    return [
        tuple(_tensor(name, detail) for name, detail in sorted(half.items())) for half in details
    ]


def _tensor(name, detail):
    scale, zero_point = detail["quantization"]
    return TensorDescription(
        name=name,
        shape=tuple(int(size) for size in detail["shape_signature"]),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(scale) or None,
        zero_point=int(zero_point) if scale else None,
    )


def _packed_files(path):
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode("utf-8") for name in archive.namelist()}
