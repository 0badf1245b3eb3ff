"""A TFLite file of anyone: one changed byte can end the process that opens or runs it."""

from keras_distill._arguments.imports import import_module
from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at
from keras_distill._keras import litert_process
from keras_distill.export.child_process import ChildProcess
from keras_distill.export.child_process import CrashError
from keras_distill.export.child_process import RefusalError

# To open a file, and for each batch that it runs: no model of a phone is that slow.
MAX_SECONDS = 600


def late(path, max_seconds):
    """What is said of a model that does not end."""
    return (
        f"{printable(path)} has run for {max_seconds} seconds on one batch, or to open, and was "
        "stopped: it may have a loop without end. Take another copy, or another model."
    )


def check_tflite_file(path):
    """Raises `FileNotFoundError` or `ValueError` unless a TFLite file begins at this path."""
    if not path.is_file():
        inside = sorted(path.glob("*.tflite")) if path.is_dir() else []
        raise FileNotFoundError(
            f"path must be a TFLite file. Received: {printable(path)}, which {found_at(path)}."
            + (f" Take a file in it: {printable(inside[0])}" if inside else "")
        )
    with path.open("rb") as file:
        if file.read(8)[4:] != b"TFL3":
            raise ValueError(
                f"path must be a TFLite file. Received: {printable(path)}, which is none."
            )


class LiteRTFile:
    """A file in the LiteRT interpreter of a process of its own.

    Attributes:
        signatures: Names of its signatures.
        inputs, outputs: Of the first signature: details by name, each a dict of shape,
            shape_signature (-1 where a size is open), dtype (a name of NumPy's) and quantization
            (scale and zero point; scale 0 of values that are not quantized).
        operations: The name of each operation.
        last_operations: By name of an output, the operation that makes it; None if unknown.

    Args:
        path: The file, a `pathlib.Path`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no TFLite file, or LiteRT does not open it.
        RuntimeError: If LiteRT crashes on it, or does not end.
        ImportError: If ai-edge-litert is not installed.
    """

    def __init__(self, path):
        self._path = path
        check_tflite_file(path)
        import_module("ai_edge_litert.interpreter")
        self._process = ChildProcess(litert_process.__file__)
        fields, _ = self._ask("open", path=str(path))
        self.signatures = fields["signatures"]
        self.inputs, self.outputs = fields["inputs"], fields["outputs"]
        self.operations = fields["operations"]
        self.last_operations = fields["last_operations"]

    def run(self, inputs, batch_size):
        """As `litert_process.run_file`."""
        _, outputs = self._ask("run", inputs, batch_size=int(batch_size))
        return outputs

    def _ask(self, what, arrays=None, **request):
        try:
            return self._process.ask(arrays, max_seconds=MAX_SECONDS, **request)
        except RefusalError as error:
            raise ValueError(f"LiteRT cannot {what} {self._path}: {error}") from None
        except CrashError as crash:
            if crash.is_late:
                raise RuntimeError(late(self._path, MAX_SECONDS)) from None
            raise RuntimeError(
                f"LiteRT crashed on {self._path} ({crash.how}): the file is damaged, or made to do "
                f"that. It said last: {crash.said}"
            ) from None
