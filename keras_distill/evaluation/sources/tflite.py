"""A TFLite file as a source of outputs, in the LiteRT interpreter."""

import numpy as np

from keras_distill._keras.litert_process import quantized
from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import SOFTMAX
from keras_distill.evaluation.sources.source import Source
from keras_distill.evaluation.sources.source import named_inputs
from keras_distill.export.pixels import divide_pixels
from keras_distill.export.signature import cast_exactly
from keras_distill.export.tflite.metadata_reading import read_labels
from keras_distill.export.tflite.metadata_reading import read_normalization
from keras_distill.export.tflite.untrusted_file import LiteRTFile
from keras_distill.export.timing.benchmark import benchmark

_DTYPES_OF_IDS = ("int32", "int64")
# Files that end in other operations may give anything, such as a mean of probabilities.
_DOMAINS = {
    "CONV_2D": LOGITS,
    "FULLY_CONNECTED": LOGITS,
    "LOG_SOFTMAX": LOGITS,
    "LOGISTIC": SIGMOID,
    "SOFTMAX": SOFTMAX,
}


class TFLiteFile(Source):
    """A file with one signature, as `export_tflite` writes it, or with none."""

    kind = "TFLite"

    def __init__(self, path):
        self._path = path
        self._file = LiteRTFile(path)
        if len(self._file.signatures) > 1:
            raise ValueError(
                "A file that is compared must have one signature, or none. Received: "
                f"{path} with {self._file.signatures}"
            )
        self._inputs = self._file.inputs
        shapes = [tuple(detail["shape"]) for detail in self._inputs.values()]
        if () in (shapes or [()]):
            raise ValueError(
                "A file that is compared must have inputs with an axis for the examples. Received: "
                f"{path} with inputs of the shapes {shapes}"
            )
        self._batch_size = shapes[0][0]
        self.reads_text = any(detail["dtype"] == "bytes" for detail in self._inputs.values())
        self.inputs = {
            name: (
                tuple(size if size > 0 else None for size in detail["shape_signature"][1:]),
                detail["dtype"],
            )
            for name, detail in self._inputs.items()
        }
        last = list(self._file.last_operations.values())
        self.domain = _DOMAINS.get(last[0]) if len(last) == 1 else None
        self.class_names = read_labels(path)
        self._normalization = read_normalization(path)
        self._pictures = [
            name
            for name, divisors in self._file.first_divisors.items()
            if len(self._inputs[name]["shape"]) > 2 and divide_pixels(divisors)
        ]
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

    def pixels(self, x):
        pictures, mean, std = self._pictures, 0, 1
        if self._normalization is not None and len(self._inputs) == 1:
            mean, std = map(np.asarray, self._normalization)
            pictures = list(self._inputs)
        named = named_inputs(f"{self._path}", self._inputs, x) if pictures else {}
        return {name: np.asarray(named[name]) * std + mean for name in pictures}

    def _named(self, x):
        named = named_inputs(f"{self._path}", self._inputs, x)
        return {name: self._fill_up(name, np.asarray(v)) for name, v in named.items()}

    def _fill_up(self, name, values):
        """Pads ids with zeros if the file has a fixed, larger length."""
        detail = self._inputs[name]
        sizes = np.asarray(detail["shape_signature"][1:])
        # A size of -1 is open.
        sizes = np.where(sizes < 0, values.shape[1:] or sizes, sizes)
        # A file with quantized inputs takes floats as integers, according to its scale.
        is_quantized = bool(detail["quantization"][0])
        # Only ids are padded: zeros around a picture, or more channels, would change the picture.
        is_ids = detail["dtype"] in _DTYPES_OF_IDS and not is_quantized and len(sizes) in (1, 2)
        wanted, given = tuple(map(int, sizes)), values.shape[1:]
        if is_ids and len(given) == len(wanted) and given[:-1] == wanted[:-1]:
            missing = max(0, wanted[-1] - given[-1])
            values = np.pad(values, [(0, 0)] * len(wanted) + [(0, missing)])
        if values.shape[1:] != wanted:
            remedy = (
                "Give a preprocessor that cuts at that length, or export with a longer "
                "sequence_length."
                if is_ids
                else "Only ids are padded: give data of that shape, or a preprocessor."
            )
            raise ValueError(
                f"{self._path} takes {name!r} of shape {wanted} for each example. Received: "
                f"{given}. {remedy}"
            )
        owner = f"{self._path}: the input {name!r}"
        if not is_quantized:
            return cast_exactly(owner, values, detail["dtype"])
        values = cast_exactly(owner, values, "float32")
        self._check_range(name, values)
        return values

    def _check_range(self, name, values):
        """Raises `ValueError` if the file's integers cannot represent most of the floats."""
        detail = self._inputs[name]
        scale, zero_point = detail["quantization"]
        limits = np.iinfo(detail["dtype"])
        low, high = (scale * (end - zero_point) for end in (limits.min, limits.max))
        # Calibration clips some values on purpose, so only most values are checked.
        margin = 0.1 * (high - low)
        if np.mean((values < low - margin) | (values > high + margin)) > 0.5:
            raise ValueError(
                f"{self._path} takes {name!r} from {low:.4g} to {high:.4g}, as integers. Received: "
                f"values from {values.min():.4g} to {values.max():.4g}, most of which it would cut "
                "off. Give a preprocessor that scales them as in training, such as "
                "lambda x: x / 255."
            )
