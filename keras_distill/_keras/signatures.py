"""Signatures of SavedModels as teachers; they take their inputs by name."""

import re

import tensorflow as tf

# A captured variable does not show its dtype, so these are tried.
_DTYPES = (tf.float32, tf.float16, tf.bfloat16, tf.float64, tf.int32, tf.int64, tf.int8, tf.uint8)
_DTYPES += (tf.bool, tf.string)
_TABLES = ((tf.string, tf.int64), (tf.int64, tf.string), (tf.string, tf.float32))


def is_signature(function):
    """Whether this is a signature from `tf.saved_model.load`, or a similar function with names."""
    if not isinstance(function, tf.types.experimental.ConcreteFunction):
        return False
    positional, named = function.structured_input_signature
    return not positional and bool(named)


def call_signature(function, x):
    """Calls a signature with a batch.

    Args:
        function: The signature.
        x: A dict of its inputs by name, or its only input.

    Returns:
        A dict of its floating-point outputs by name, or the only one. Names of classes and other
        outputs for people are left out, unless there is nothing else.

    Raises:
        ValueError: If the inputs do not fit the signature.
    """
    specs = function.structured_input_signature[1]
    if len(specs) == 1 and not isinstance(x, dict):
        x = {next(iter(specs)): x}
    if not isinstance(x, dict) or set(x) != set(specs):
        found = sorted(x) if isinstance(x, dict) else f"a {type(x).__name__}"
        raise ValueError(
            f"The teacher is a signature that reads a dict with the keys {sorted(specs)}. "
            f"Received: {found}. Bring the examples into this form with dataset.map."
        )
    outputs = run_signature(function, x)
    if isinstance(outputs, dict):
        numbers = {name: value for name, value in outputs.items() if value.dtype.is_floating}
        outputs = numbers or outputs
    is_one = isinstance(outputs, dict) and len(outputs) == 1
    return next(iter(outputs.values())) if is_one else outputs


def run_signature(function, x):
    """The outputs of a signature, a dict by name, for a dict of its inputs by name."""
    specs = function.structured_input_signature[1]
    x = {name: _cast(x[name], spec) for name, spec in specs.items()}
    try:
        return function(**x)
    except AssertionError as error:
        # TensorFlow raises this if the module with the variables no longer exists.
        raise ValueError(
            "This is a signature whose module is gone, and its variables with it. Keep the "
            "module as long as the signature: module = tf.saved_model.load(folder); signature = "
            "module.signatures['serving_default']."
        ) from error


def as_column(x, spec):
    """A batch of single values, `(batch,)`, as `(batch, 1)` where an input asks for it.

    `model.export` of Keras writes this shape for a model with `keras.Input((1,), dtype="string")`.
    """
    is_column = isinstance(spec, tf.TensorSpec) and spec.shape.rank == 2 and spec.shape[1] == 1
    return x[:, None] if is_column and len(x.shape) == 1 else x


def _cast(x, spec):
    x = as_column(tf.convert_to_tensor(x), spec)
    is_alike = any(
        getattr(x.dtype, kind) and getattr(spec.dtype, kind)
        for kind in ("is_integer", "is_floating")
    )
    return tf.cast(x, spec.dtype) if is_alike else x


def captured_arrays(function):
    """Lists the weights and tables of a signature as NumPy arrays.

    They are read by the captured handles, because the module with the variables may be gone.
    """
    return [array for handle in function.captured_inputs for array in _arrays_of(handle)]


def _arrays_of(tensor):
    if tensor.dtype != tf.resource:
        return [tensor.numpy()] if tensor.dtype != tf.variant else []
    for dtype in _DTYPES:
        try:
            return [tf.raw_ops.ReadVariableOp(resource=tensor, dtype=dtype).numpy()]
        except tf.errors.OpError:
            pass
    for keys, values in _TABLES:
        try:
            exported = tf.raw_ops.LookupTableExportV2(
                table_handle=tensor, Tkeys=keys, Tvalues=values
            )
        except tf.errors.OpError:
            continue
        order = tf.argsort(exported.values) if values.is_integer else tf.argsort(exported.keys)
        return [tf.gather(part, order).numpy() for part in exported]
    return []


def describe_graph(function):
    """A text that describes a signature's computation, equal after loading it again."""
    graph = function.graph.as_graph_def()
    functions = {_plain(f.signature.name): f.node_def for f in graph.library.function}
    lines = [_describe_node(node) for node in graph.node]
    for name in sorted(functions):
        lines += [name, *map(_describe_node, functions[name])]
    return "\n".join(lines)


def _describe_node(node):
    attributes = {
        name: _plain(value.func.name) or value.SerializeToString(deterministic=True)
        for name, value in sorted(node.attr.items())
        if not name.startswith("_")
    }
    return f"{node.op} {_plain(node.name)} {[_plain(name) for name in node.input]} {attributes}"


def _plain(name):
    """The name without the numbers that change with each loading."""
    return re.sub(r"_\d+\b", "", name)
