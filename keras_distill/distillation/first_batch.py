"""Checks that need the values of a real batch, made before the first step."""

import itertools

import keras
import numpy as np
import tensorflow as tf


def checked(function, check, steps_per_execution):
    """Wraps a Keras train or test function: `check(batch)` comes before the first step.

    The check is repeated when the batches have another structure, for instance when a second
    data set carries the teacher's outputs.
    """
    checked_spec = None

    def check_then_run(iterator):
        nonlocal checked_spec
        spec = getattr(iterator, "element_spec", "python")
        if spec != checked_spec:
            batch = next(iterator)
            check(batch)
            checked_spec = spec
            iterator = _put_back(batch, iterator, steps_per_execution)
        return function(iterator)

    return check_then_run


def _put_back(batch, iterator, steps_per_execution):
    rest = itertools.islice(iterator, steps_per_execution - 1)
    if not isinstance(iterator, tf.data.Iterator):
        return itertools.chain([batch], rest)
    # Each from_generator iterator would keep six threads until the process ends.
    dataset = tf.data.Dataset.from_tensors(batch)
    for another in rest:
        dataset = dataset.concatenate(tf.data.Dataset.from_tensors(another))
    # The iterator must have the same type, or the step would be traced twice.
    variant = tf.data.experimental.to_variant(dataset)
    return iter(tf.data.experimental.from_variant(variant, iterator.element_spec))


def local_batch(batch, strategy):
    """The first replica's part of a batch, with None for missing parts."""
    batch = keras.tree.map_structure(lambda v: strategy.experimental_local_results(v)[0], batch)
    return keras.tree.map_structure(
        lambda v: None if isinstance(v, tf.experimental.Optional) else v, batch
    )


def named_leaves(outputs):
    """Lists `(name, tensor)` of nested outputs, such as `("output[intent]", tensor)`."""
    return [
        (str(path[0]) + "".join(f"[{key}]" for key in path[1:]), leaf)
        for path, leaf in keras.tree.flatten_with_path(outputs)
    ]


def check_float(activations):
    """Raises `ValueError` unless all teacher outputs are floating point."""
    for name, tensor in named_leaves(activations):
        dtype = tf.as_dtype(getattr(tensor, "dtype", type(tensor)))
        if not dtype.is_floating:
            raise ValueError(
                f"The teacher's {name!r} must be floating-point logits, probabilities or "
                f"features. Received: dtype {dtype.name}. "
                "Give what comes before the argmax or the decoding."
            )


def check_activations(activations, batch_size):
    """Raises `ValueError` for a teacher output that is not finite or has another batch size."""
    for name, tensor in named_leaves(activations):
        values = np.asarray(keras.ops.cast(tensor, "float32"))
        if values.shape[:1] != (batch_size,):
            raise ValueError(
                f"The teacher's {name!r} must have one entry per example, so {batch_size} for the "
                f"first batch. Received: shape {values.shape}."
            )
        is_bad = ~np.isfinite(values)
        if is_bad.any():
            first = tuple(int(i) for i in np.argwhere(is_bad)[0])
            raise ValueError(
                f"The teacher's {name!r} has {is_bad.sum()} values that are not finite in the "
                f"first batch, the first at {first}: {values[first]}. Check the teacher's weights, "
                "its inputs, and its dtype policy (float16 overflows)."
            )
