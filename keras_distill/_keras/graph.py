"""The graph of a Functional model: which layer made a tensor, and where a layer was called.

`keras.Model.layers` has the layers without what connects them, and `layer.input` and
`layer.output` are those of a layer's first call alone. Should these parts go, the connections
stand in `get_config()`, as names of layers.
"""


def origin(tensor):
    """The operation that made a symbolic tensor, the number of its call, and that of the output."""
    return tensor._keras_history


def calls_of(operation):
    """Lists the calls of an operation, each with its `input_tensors` and `output_tensors`."""
    return operation._inbound_nodes


def operations_behind(operation):
    """Lists the operations that read what an operation gives, one for each of their calls."""
    return [node.operation for node in operation._outbound_nodes]
