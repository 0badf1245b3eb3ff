"""Costs of a model: parameters, operations, bytes, time, memory."""

import dataclasses
import math

import keras
import tensorflow as tf

from keras_distill._arguments.checks import check_num_threads
from keras_distill._keras.graph import calls_of
from keras_distill._keras.graph import origin
from keras_distill._keras.graph_defs import frozen_graph
from keras_distill._keras.graph_defs import quiet
from keras_distill._keras.layers import flatten_layers

_PRODUCTS = ("BatchMatMulV2", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Einsum", "MatMul")


@dataclasses.dataclass(frozen=True)
class Cost:
    """Costs of one example on this machine's CPU. Missing figures are None.

    Args:
        num_parameters: Number of weights.
        num_flops: Floating-point operations, without a tokenizer's.
        num_bytes: Size of the file or the folder; for a Keras model, of its weights.
        median_ms, p95_ms: Dicts by number of threads. A Keras model is timed as a SavedModel.
        memory_bytes: Growth of a process that loads and runs the model, on one thread.
    """

    num_parameters: int | None
    num_flops: int | None
    num_bytes: int | None
    median_ms: dict
    p95_ms: dict
    memory_bytes: int | None


def check_threads(num_threads):
    """Returns a tuple of numbers of threads, which may be empty."""
    if not isinstance(num_threads, (list, tuple)):
        raise ValueError(
            f"num_threads must be a tuple, such as (1, 2), or (). Received: {num_threads!r}"
        )
    return tuple(check_num_threads("num_threads", count) for count in num_threads)


def measure_costs(source, x, num_threads):
    """Measures a model on one example.

    Args:
        source: The result of `open_source`.
        x: The inputs of one example, with a batch axis.
        num_threads: Numbers of threads to time the model on; if empty, it is not timed.
    """
    latencies = (source.latencies(x, num_threads) if num_threads else None) or {}
    return Cost(
        num_parameters=source.num_parameters,
        num_flops=source.num_flops(x),
        num_bytes=source.num_bytes,
        median_ms={count: report.median_ms for count, report in latencies.items()},
        p95_ms={count: report.p95_ms for count, report in latencies.items()},
        memory_bytes=next((report.memory_bytes for report in latencies.values()), None),
    )


def count_flops(model, x):
    """Counts the operations that TensorFlow's profiler knows: products count as two operations.

    Args:
        model: A `keras.Model`.
        x: The model's inputs for one example.

    Returns:
        The number; None for a model with a loop or a product of unknown length.
    """
    model, x = _behind_text(model, x)
    loops = _recurrent_layers(model)
    before = [layer.unroll for layer in loops]
    try:
        # Loops are unrolled, because the profiler counts a loop's body once.
        for layer in loops:
            layer.unroll = True
        return _count(model, x)
    finally:
        for layer, unroll in zip(loops, before):
            layer.unroll = unroll


def _count(model, x):
    x = keras.tree.map_structure(tf.convert_to_tensor, x)
    specs = keras.tree.map_structure(lambda v: tf.TensorSpec(v.shape, v.dtype), x)
    run = tf.function(lambda x: model(x, training=False), autograph=False)
    with quiet():
        graph = frozen_graph(run.get_concrete_function(specs))
    if any("While" in node.op for node in graph.node):
        return None
    with tf.Graph().as_default() as inlined, quiet():
        tf.graph_util.import_graph_def(graph, name="")
        products = [op for op in inlined.get_operations() if op.type in _PRODUCTS]
        # The profiler skips products of unknown shape, and the rest would be a wrong figure.
        if not all(tensor.shape.is_fully_defined() for op in products for tensor in op.inputs):
            return None
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        profile = tf.compat.v1.profiler.profile(inlined, options=options)
    # Attention uses Einsum operations, which the profiler does not know.
    attention = [op for op in products if op.type == "Einsum"]
    return profile.total_float_ops + sum(map(_einsum_flops, attention))


def _einsum_flops(operation):
    """Two operations for each combination of the indices: a product and a sum."""
    indices = operation.get_attr("equation").decode().split("->")[0].split(",")
    sizes = {}
    for letters, tensor in zip(indices, operation.inputs):
        sizes.update(zip(letters, tensor.shape.as_list()))
    return 2 * math.prod(sizes.values())


def _behind_text(model, x):
    """The part of a model after its tokenizer, and the inputs of that part."""
    if not any(tensor.dtype == "string" for tensor in getattr(model, "inputs", None) or []):
        return model, x
    numbers, readers = [], set()
    open_tensors = list(model.outputs)
    while open_tensors:
        tensor = open_tensors.pop()
        operation, call, _ = origin(tensor)
        read = calls_of(operation)[call].input_tensors
        is_first = not read or any(t.dtype == "string" for t in read)
        if is_first and not any(tensor is number for number in numbers):
            numbers.append(tensor)
            readers.add((operation, call))
        elif not is_first:
            open_tensors += read
    if len(readers) > 1:
        return model, x
    return keras.Model(numbers, model.outputs), keras.Model(model.inputs, numbers)(x)


def _recurrent_layers(model):
    return [layer for layer in flatten_layers(model) if isinstance(layer, keras.layers.RNN)]
