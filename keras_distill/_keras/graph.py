"""The graph of a Functional model: the layer that made a tensor, and the calls of a layer.

`keras.Model.layers` has the layers without their connections, and `layer.input` and
`layer.output` are only those of a layer's first call. If these parts are removed, `get_config()`
has the connections as names of layers.
"""


def origin(tensor):
    """The operation that made a symbolic tensor, the index of its call, and that of the output."""
    return tensor._keras_history


def calls_of(operation):
    """Lists the calls of an operation, each with its `input_tensors` and `output_tensors`."""
    return operation._inbound_nodes


def operations_behind(operation):
    """Lists the operations that read an operation's outputs, once for each of their calls."""
    return [node.operation for node in operation._outbound_nodes]
