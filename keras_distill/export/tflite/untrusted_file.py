"""An untrusted TFLite file: one changed byte can crash the process that opens or runs it."""

from keras_distill._arguments.imports import import_module
from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at
from keras_distill._keras import litert_process
from keras_distill.export.child_process import ChildProcess
from keras_distill.export.child_process import CrashError
from keras_distill.export.child_process import RefusalError

# Time limit for opening a file and for each batch; no phone model is that slow.
MAX_SECONDS = 600


def late(path, max_seconds):
    """The message about a model that does not end."""
    return (
        f"{printable(path)} has run for {max_seconds} seconds on one batch, or to open, and was "
        "stopped: it may have a loop without end. Take another copy, or another model."
    )


def check_tflite_file(path):
    """Raises `FileNotFoundError` or `ValueError` unless the path has a TFLite file's header."""
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
    """A file in the LiteRT interpreter of a separate process.

    Attributes:
        signatures: Names of the file's signatures.
        inputs, outputs: Details of the first signature by name, each a dict of shape,
            shape_signature (-1 for open sizes), dtype (a NumPy name) and quantization
            (scale and zero point; scale 0 for values that are not quantized).
        operations: The name of each operation.
        last_operations: Dict from an output's name to the operation that computes it, or None.
        first_divisors: Dict from the name of an input that is first divided by constants, or
            multiplied by their reciprocals, to a list of them.

    Args:
        path: The file, a `pathlib.Path`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a TFLite file, or LiteRT does not open it.
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
        self.first_divisors = fields["first_divisors"]

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
