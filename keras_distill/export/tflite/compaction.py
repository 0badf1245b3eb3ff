"""Removes from a file what no interpreter reads."""

import itertools

from keras_distill._keras import tflite_files


def compact(content):
    """Merges equal constants, and shortens the names of all tensors but inputs and outputs.

    Args:
        content: The bytes of a TFLite file.

    Returns:
        The bytes of the smaller file.
    """
    model = tflite_files.read(content)
    _share_constants(model)
    # Tools such as litert-quantizer distinguish tensors by their names.
    numbers = itertools.count()
    for graph in model.subgraphs:
        named = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if index not in named:
                tensor.name = str(next(numbers))
    return tflite_files.write(model)


def _share_constants(model):
    buffers, places, first_equal = [], {}, {}
    for index, buffer in enumerate(model.buffers):
        content = None if buffer.data is None else bytes(buffer.data)
        # Computed tensors have empty buffers, which must not be merged.
        is_constant = bool(content)
        if is_constant and content in first_equal:
            places[index] = first_equal[content]
            continue
        places[index] = len(buffers)
        buffers.append(buffer)
        if is_constant:
            first_equal[content] = places[index]
    model.buffers = buffers
    for owner in [t for graph in model.subgraphs for t in graph.tensors] + (model.metadata or []):
        owner.buffer = places[owner.buffer]
