"""Matrix products with a weight on the left, which no kernel of LiteRT takes in 8 bits."""

import re

from tensorflow.lite.tools import flatbuffer_utils
from tensorflow.lite.tools.flatbuffer_utils import schema_fb as schema

_PRODUCTS = (schema.BuiltinOperator.BATCH_MATMUL, schema.BuiltinOperator.FULLY_CONNECTED)


def kept_in_float(content):
    """Rules for litert-quantizer that leave the products with a weight on the left as they are.

    It would quantize that weight, and the file would not run.

    Args:
        content: The bytes of a float TFLite file.

    Returns:
        A list of rules, for the end of a recipe.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    names = [
        graph.tensors[operator.outputs[0]].name.decode("utf-8")
        for graph in model.subgraphs
        for operator in graph.operators
        if _has_left_weight(model, graph, operator)
    ]
    # It finds an operation by the names of its outputs, each with a semicolon behind it.
    return [
        {"regex": f"^{re.escape(name)};", "operation": "*", "algorithm_key": "no_quantize"}
        for name in names
    ]


def _has_left_weight(model, graph, operator):
    if model.operatorCodes[operator.opcodeIndex].builtinCode not in _PRODUCTS:
        return False
    return model.buffers[graph.tensors[operator.inputs[0]].buffer].data is not None
