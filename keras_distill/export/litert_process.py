"""A TFLite file in the LiteRT interpreter, in this process or in one of its own.

As a script for `ChildProcess` it imports LiteRT and NumPy and nothing of ours, to start soon.
"""

import numpy as np

_interpreter = None


def run_file(interpreter, inputs, batch_size=1):
    """Runs the only signature of a file.

    Args:
        interpreter: LiteRT's interpreter of the file.
        inputs: Arrays by name, any number of examples. Floats become the file's integers
            by its scales where the file takes integers.
        batch_size: The file's; missing examples of the last batch repeat its last one.

    Returns:
        Arrays by name, integers turned back into floats where the file has scales.
    """
    (signature,) = interpreter.get_signature_list()
    runner = interpreter.get_signature_runner(signature)
    input_details, output_details = runner.get_input_details(), runner.get_output_details()
    num_examples = len(next(iter(inputs.values())))
    rows = []
    for start in range(0, num_examples, batch_size):
        places = np.minimum(np.arange(start, start + batch_size), num_examples - 1)
        batch = {
            name: quantized(values[places], input_details[name]) for name, values in inputs.items()
        }
        rows.append(runner(**batch))
    return {
        name: _dequantize(np.concatenate([row[name] for row in rows])[:num_examples], detail)
        for name, detail in output_details.items()
    }


def quantized(values, detail):
    """Floats as the file's integers, by the scale of its tensor; other values as they are."""
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
    """The name of each operation of a file, in their order."""
    return [operation["op_name"] for operation in interpreter._get_ops_details()]


def answer(arrays, path=None, batch_size=None):
    """With a path, opens a file and tells what it has; else runs the one that is open."""
    global _interpreter
    if path is None:
        return {}, run_file(_interpreter, arrays, batch_size)
    from ai_edge_litert.interpreter import Interpreter

    _interpreter = Interpreter(model_path=path)
    signatures = list(_interpreter.get_signature_list())
    if signatures:
        runner = _interpreter.get_signature_runner(signatures[0])
        halves = runner.get_input_details(), runner.get_output_details()
    else:
        found = _interpreter.get_input_details(), _interpreter.get_output_details()
        halves = ({detail["name"]: detail for detail in half} for half in found)
    inputs, outputs = ({name: _plain(d) for name, d in half.items()} for half in halves)
    fields = {"signatures": signatures, "inputs": inputs, "outputs": outputs}
    return {**fields, "operations": operation_names(_interpreter)}, {}


def _plain(detail):
    """What JSON can carry of the details of a tensor."""
    scale, zero_point = detail["quantization"]
    return {
        "shape": [int(size) for size in detail["shape"]],
        "shape_signature": [int(size) for size in detail["shape_signature"]],
        "dtype": np.dtype(detail["dtype"]).name,
        "quantization": [float(scale), int(zero_point)],
    }
