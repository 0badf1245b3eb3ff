"""The process that converts SavedModels: its crash is an error, not the end of a session.

This is a script for `ChildProcess`. It imports TensorFlow but nothing of this package, to start
fast.
"""

import re

_INTEGERS = {"int8": "int8", "int16x8": "int16"}


def convert(
    saved_model,
    path,
    quantization,
    representative_data,
    batch_size,
    integer_io,
    allow_select_tf_ops,
):
    """Writes a TFLite file.

    Args:
        saved_model: Folder of the SavedModel, with a fixed batch size.
        path: The file to write.
        quantization: "none", "float16", "int8" or "int16x8".
        representative_data: An .npz file with inputs by name, for "int8" and "int16x8".
        batch_size: Batch size of the SavedModel.
        integer_io: Whether inputs and outputs are integers, for "int8" and "int16x8".
        allow_select_tf_ops: Whether TensorFlow operations may be used.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    ops = tf.lite.OpsSet
    builtins = {
        "int8": ops.TFLITE_BUILTINS_INT8,
        "int16x8": ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
    }.get(quantization, ops.TFLITE_BUILTINS)
    converter.target_spec.supported_ops = [builtins]
    if allow_select_tf_ops:
        converter.target_spec.supported_ops.append(ops.SELECT_TF_OPS)
    # This metadata names the Python lines of each operation, which a phone does not need.
    converter.exclude_conversion_metadata = True
    if quantization != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization in _INTEGERS:
        converter.representative_dataset = lambda: _batches(representative_data, batch_size)
        if integer_io:
            converter.inference_input_type = tf.as_dtype(_INTEGERS[quantization])
            converter.inference_output_type = tf.as_dtype(_INTEGERS[quantization])
    content = converter.convert()
    with open(path, "wb") as file:
        file.write(content)


def _batches(representative_data, batch_size):
    import numpy as np

    with np.load(representative_data) as arrays:
        inputs = dict(arrays)
    num_examples = len(next(iter(inputs.values())))
    for start in range(0, num_examples, batch_size):
        places = np.arange(start, start + batch_size) % num_examples
        # The signature's name is needed, or the converter matches the inputs by their order.
        yield "serving_default", {name: values[places] for name, values in inputs.items()}


def _reason(error):
    found = re.search(r"(?:TF Select|Custom) ops: (.*)", str(error))
    if not found:
        return f"The converter says: {error}"
    # The name of each operation in the graph begins with the path of its layer.
    places = set(re.findall(r'"(\w+):", "([^"@]+)/\1[^"/@]*@', str(error)))
    missing = []
    for name in found[1].split(", "):
        paths = sorted(path for operation, path in places if operation == name)
        missing.append(f"{name} (in {', '.join(paths)})" if paths else name)
    return f"It has none for: {', '.join(missing)}. Replace the layers that use them."


def answer(arrays, **request):
    """Converts a SavedModel; `arrays` is empty, because the inputs are in a file."""
    try:
        convert(**request)
    except Exception as error:
        return {"problem": _reason(error)}, {}
    return {}, {}
