"""Exceptions for litert-quantizer: operations for which LiteRT has no correct kernel."""

import re

from keras_distill._keras.tflite_files import read
from keras_distill._keras.tflite_files import schema


def kept_in_float(content):
    """Rules that do not quantize matrix products whose left operand is a weight.

    Otherwise the quantizer would quantize that weight, and the file would not run.

    Args:
        content: The bytes of a float TFLite file.

    Returns:
        A list of rules, for the end of a recipe.
    """
    left_out = {"operation": "*", "algorithm_key": "no_quantize"}
    return [{**left_out, "regex": regex} for regex in _found(content, _has_left_weight)]


def embeddings_in_8_bits(content, recipe):
    """Rules that give embeddings with an odd width 8 bits.

    With 4 bits, two values share a byte. The kernel begins each row in a new byte, but the
    quantizer packs all values without gaps: after an odd row, all other rows would be wrong.

    Args:
        content: The bytes of a float TFLite file.
        recipe: Rules for 8 bits.

    Returns:
        A list of rules, for the end of a recipe.
    """
    found = _found(content, _has_odd_rows)
    return [{**rule, "regex": regex} for regex in found for rule in recipe]


def _found(content, is_one):
    """Regular expressions that match operations."""
    model = read(content)
    names = [
        graph.tensors[operator.outputs[0]].name.decode("utf-8")
        for graph in model.subgraphs
        for operator in graph.operators
        if is_one(model, graph, operator)
    ]
    # The quantizer matches operations by their outputs' names, each followed by a semicolon.
    return [f"^{re.escape(name)};" for name in names]


def _has_left_weight(model, graph, operator):
    kinds = schema().BuiltinOperator
    if _code(model, operator) not in (kinds.BATCH_MATMUL, kinds.FULLY_CONNECTED):
        return False
    return model.buffers[graph.tensors[operator.inputs[0]].buffer].data is not None


def _has_odd_rows(model, graph, operator):
    is_lookup = _code(model, operator) == schema().BuiltinOperator.EMBEDDING_LOOKUP
    return is_lookup and graph.tensors[operator.inputs[1]].shape[-1] % 2 == 1


def _code(model, operator):
    return model.operatorCodes[operator.opcodeIndex].builtinCode
