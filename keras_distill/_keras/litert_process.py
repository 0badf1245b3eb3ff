"""A TFLite file in the LiteRT interpreter, in this process or in a separate one.

As a script for `ChildProcess`, this imports only LiteRT and NumPy, to start fast.
"""

import faulthandler

import numpy as np

_LEAVE_VALUES = ("CAST", "DEQUANTIZE", "QUANTIZE", "RESHAPE")
_MOVE_PIXELS = ("PAD", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE")

# More constants than that are not one for each channel.
_MOST_CHANNELS = 16

_interpreter = None


def run_file(interpreter, inputs, batch_size=1, before_each=lambda: None):
    """Runs the only signature of a file, or a file without signatures.

    Args:
        interpreter: LiteRT's interpreter of the file.
        inputs: Arrays by name, any number of examples. If the file takes integers, floats are
            quantized by its scales.
        batch_size: The file's batch size; the last example fills an incomplete batch.
        before_each: Function that is called before each batch.

    Returns:
        Arrays by name; integers with a scale are converted back to floats.
    """
    runner = _runner(interpreter)
    input_details, output_details = runner.get_input_details(), runner.get_output_details()
    num_examples = len(next(iter(inputs.values())))
    rows = []
    for start in range(0, num_examples, batch_size):
        places = np.minimum(np.arange(start, start + batch_size), num_examples - 1)
        batch = {
            name: quantized(values[places], input_details[name]) for name, values in inputs.items()
        }
        before_each()
        rows.append(runner(**batch))
    return {
        name: _dequantize(np.concatenate([row[name] for row in rows])[:num_examples], detail)
        for name, detail in output_details.items()
    }


def _runner(interpreter):
    signatures = list(interpreter.get_signature_list())
    if not signatures:
        return _NamedTensors(interpreter)
    (signature,) = signatures
    return interpreter.get_signature_runner(signature)


class _NamedTensors:
    """A runner for a file without signatures, whose tensor names serve as names."""

    def __init__(self, interpreter):
        self._interpreter = interpreter

    def get_input_details(self):
        return {detail["name"]: detail for detail in self._interpreter.get_input_details()}

    def get_output_details(self):
        return {detail["name"]: detail for detail in self._interpreter.get_output_details()}

    def __call__(self, **batch):
        details = self.get_input_details()
        for name, values in batch.items():
            if tuple(details[name]["shape"]) != values.shape:
                self._interpreter.resize_tensor_input(details[name]["index"], values.shape)
        self._interpreter.allocate_tensors()
        for name, values in batch.items():
            self._interpreter.set_tensor(details[name]["index"], values)
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_tensor(detail["index"])
            for name, detail in self.get_output_details().items()
        }


def quantized(values, detail):
    """Quantizes floats to the file's integers by the tensor's scale; others are unchanged."""
    scale, zero_point = detail["quantization"]
    if not scale or not np.issubdtype(values.dtype, np.floating):
        return values
    limits = np.iinfo(detail["dtype"])
    steps = np.round(values / scale) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(detail["dtype"])


def _dequantize(values, detail):
    scale, zero_point = detail["quantization"]
    if not scale or np.issubdtype(values.dtype, np.floating):
        return values
    return (values.astype("float32") - zero_point) * np.float32(scale)


def operation_names(interpreter):
    """The name of each operation of a file, in their order.

    If `_get_ops_details` is removed, the file's own tables have the operations as numbers.
    """
    return [operation["op_name"] for operation in interpreter._get_ops_details()]


def answer(arrays, max_seconds, path=None, batch_size=None):
    """With a path, opens a file and describes it; otherwise runs the open file.

    The process ends if opening, or a single batch, takes longer than `max_seconds`: a file can
    have an endless loop. A thread of `faulthandler` ends it, whatever LiteRT does.
    """

    # The import is not within the time limit, because it takes long on a busy machine.
    from ai_edge_litert.interpreter import Interpreter

    def watch():
        faulthandler.dump_traceback_later(max_seconds, exit=True)

    try:
        watch()
        if path is not None:
            return _open(Interpreter(model_path=path))
        return {}, run_file(_interpreter, arrays, batch_size, watch)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _open(interpreter):
    global _interpreter
    _interpreter = interpreter
    signatures = list(_interpreter.get_signature_list())
    if signatures:
        runner = _interpreter.get_signature_runner(signatures[0])
    else:
        runner = _NamedTensors(_interpreter)
    halves = runner.get_input_details(), runner.get_output_details()
    makers = {name: _last_operation(d["index"]) for name, d in halves[1].items()}
    inputs, outputs = ({name: _plain(d) for name, d in half.items()} for half in halves)
    fields = {"signatures": signatures, "inputs": inputs, "outputs": outputs}
    fields |= {"last_operations": makers, "operations": operation_names(_interpreter)}
    divisors = {name: _first_divisors(detail["index"]) for name, detail in halves[0].items()}
    return {**fields, "first_divisors": {n: found for n, found in divisors.items() if found}}, {}


def _last_operation(index):
    """The name of the operation that computes a tensor's values, or None.

    Operations that leave values unchanged are skipped. Subgraphs have their own tensor indices,
    but outputs belong to the main graph, which comes first.
    """
    makers = {}
    for operation in _interpreter._get_ops_details():
        for output in operation["outputs"]:
            makers.setdefault(int(output), operation)
    # The loop is bounded, because a damaged file may have a cycle.
    for _ in range(len(makers)):
        operation = makers.get(int(index))
        if operation is None or operation["op_name"] not in _LEAVE_VALUES:
            return None if operation is None else operation["op_name"]
        index = operation["inputs"][0]
    return None


def _first_divisors(index):
    """The constants that an input is divided by before anything else, a list; empty for none.

    A product is a division by the reciprocal.
    """
    operations = _interpreter._get_ops_details()
    details = {detail["index"]: detail for detail in _interpreter.get_tensor_details()}
    made = {int(output) for operation in operations for output in operation["outputs"]}
    # An operation is looked at once, in order, because a damaged file may have a cycle.
    for operation in operations:
        read = [int(place) for place in operation["inputs"]]
        if index not in read or not len(operation["outputs"]):
            continue
        if operation["op_name"] in (*_LEAVE_VALUES, *_MOVE_PIXELS) and read[0] == index:
            index = int(operation["outputs"][0])
        elif operation["op_name"] in ("DIV", "MUL") and len(read) == 2:
            other = read[1 - read.index(index)]
            is_divisor = operation["op_name"] == "MUL" or read[0] == index
            if other in made or other not in details or not is_divisor:
                return []
            try:
                values = _dequantize(_interpreter.get_tensor(other), details[other])
            except ValueError:
                return []  # Another input has no value yet.
            with np.errstate(divide="ignore", invalid="ignore"):
                values = 1 / values if operation["op_name"] == "MUL" else values
            return [float(value) for value in np.ravel(values)[:_MOST_CHANNELS]]
        else:
            return []
    return []


def _plain(detail):
    """The JSON-compatible details of a tensor."""
    scale, zero_point = detail["quantization"]
    return {
        "shape": [int(size) for size in detail["shape"]],
        "shape_signature": [int(size) for size in detail["shape_signature"]],
        "dtype": np.dtype(detail["dtype"]).name,
        "quantization": [float(scale), int(zero_point)],
    }
