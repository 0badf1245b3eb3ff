"""A TFLite file in the LiteRT interpreter."""

import numpy as np

from keras_distill.imports import import_module


def open_file(content):
    """Returns an interpreter of a file, given as its bytes.

    Raises:
        ImportError: If ai-edge-litert is not installed.
    """
    return interpreter_class()(model_content=content)


def interpreter_class():
    """LiteRT's interpreter; raises `ImportError` if ai-edge-litert is not installed."""
    return import_module("ai_edge_litert.interpreter").Interpreter


def select_tf_ops(interpreter):
    """The operations of TensorFlow in a file, each once."""
    names = {operation["op_name"] for operation in interpreter._get_ops_details()}
    return tuple(sorted(name for name in names if name.startswith("Flex")))


def run_file(interpreter, inputs, batch_size=1):
    """Runs the only signature of a file.

    Args:
        interpreter: From `open_file`.
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
