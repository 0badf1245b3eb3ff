"""A TFLite file as a source of outputs, in the LiteRT interpreter."""

import numpy as np

from keras_distill.evaluation.sources.naming import named_inputs
from keras_distill.evaluation.sources.source import Source
from keras_distill.export.benchmark import benchmark
from keras_distill.export.litert_file import LiteRTFile
from keras_distill.export.litert_process import quantized


class TFLiteFile(Source):
    """A file with one signature, as `export_tflite` writes it."""

    kind = "TFLite"

    def __init__(self, path):
        self._path = path
        self._file = LiteRTFile(path)
        if len(self._file.signatures) != 1:
            raise ValueError(
                "A file that is compared must have one signature. Received: "
                f"{path} with {self._file.signatures}"
            )
        self._inputs = self._file.inputs
        self._batch_size = next(iter(self._inputs.values()))["shape"][0]
        self.reads_text = any(detail["dtype"] == "bytes" for detail in self._inputs.values())
        self.num_bytes = path.stat().st_size

    def __call__(self, x):
        outputs = self._file.run(self._named(x), self._batch_size)
        if len(outputs) != 1:
            raise ValueError(
                "A file that is compared must have one output. Received: "
                f"{self._path} with {sorted(outputs)}"
            )
        return next(iter(outputs.values()))

    def latencies(self, x, num_threads):
        inputs = {
            name: quantized(np.resize(v, (self._batch_size, *v.shape[1:])), self._inputs[name])
            for name, v in self._named(x).items()
        }
        return {
            count: benchmark(self._path, num_threads=count, inputs=inputs) for count in num_threads
        }

    def _named(self, x):
        named = named_inputs(f"{self._path}", self._inputs, x)
        return {name: self._fill_up(name, np.asarray(v)) for name, v in named.items()}

    def _fill_up(self, name, values):
        """Appends zeros where the file has a fixed, larger size."""
        sizes = np.asarray(self._inputs[name]["shape_signature"][1:])
        # -1 is open.
        sizes = np.where(sizes < 0, values.shape[1:] or sizes, sizes)
        if values.ndim != len(sizes) + 1 or np.any(values.shape[1:] > sizes):
            raise ValueError(
                f"{self._path} takes {name!r} of shape {tuple(sizes)} for each example. Received: "
                f"{values.shape[1:]}. Give a preprocessor that cuts at that length, or export with "
                "a longer sequence_length."
            )
        missing = sizes - values.shape[1:]
        filled = np.pad(values, [(0, 0), *((0, count) for count in missing)])
        detail = self._inputs[name]
        # Of a file that takes integers for floats: they become those by its scale.
        is_quantized = bool(detail["quantization"][0])
        return filled.astype("float32" if is_quantized else detail["dtype"])
