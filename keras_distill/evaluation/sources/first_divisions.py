"""What the graph of a SavedModel divides an input by before it does anything else with it."""

import numpy as np
import tensorflow as tf

# Operations that move or resize pixels without changing their scale.
_MOVING = (
    "Cast",
    "Identity",
    "Pad",
    "Reshape",
    "ResizeBilinear",
    "ResizeNearestNeighbor",
    "Transpose",
)
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def first_divisors(signature, name):
    """Lists the constants that an input is divided by, as numbers or arrays.

    A product is a division by the reciprocal. Other operations that read the input count for none.

    Args:
        signature: A signature, as `tf.saved_model.load` returns it.
        name: Name of the input.
    """
    graph = signature.graph.as_graph_def()
    functions = {function.signature.name: function for function in graph.library.function}
    return _divisors(name, graph.node, functions)


def _divisors(tensor, nodes, functions):
    found, by_name = [], {node.name: node for node in nodes}
    for node in nodes:
        # "name:output:0" in a function, "name:0" or "name" in a graph.
        read = [name.split(":")[0] for name in node.input]
        if tensor not in read:
            continue
        place = read.index(tensor)
        if node.op in _MOVING and place == 0:
            found += _divisors(node.name, nodes, functions)
        elif node.op in _CALLS:
            function = functions[node.attr["f"].func.name]
            argument = function.signature.input_arg[place].name
            found += _divisors(argument, function.node_def, functions)
        elif node.op in ("Mul", "RealDiv"):
            other = by_name.get(read[1 - place])
            if other is not None and other.op == "Const" and (node.op == "Mul" or place == 0):
                value = tf.make_ndarray(other.attr["value"].tensor).astype("float64")
                with np.errstate(divide="ignore"):
                    found.append(1 / value if node.op == "Mul" else value)
    return found
