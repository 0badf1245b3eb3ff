"""Steps of an optimizer, and the index of a variable in it."""

import tensorflow as tf
from keras import ops


def step_of(optimizer):
    """The optimizer's step as an int."""
    # iterations may be a variable of several devices, or a tensor if gradients are accumulated.
    return int(tf.identity(ops.convert_to_tensor(optimizer.iterations)))


def num_updates(optimizer, num_batches):
    """Number of weight updates of an optimizer in this number of batches."""
    return -(-num_batches // (_unscaled(optimizer).gradient_accumulation_steps or 1))


def batches_seen(optimizer):
    """Number of batches whose gradients an optimizer got, including those still accumulated.

    `optimizer.iterations` counts updates of the weights. If `_iterations` is removed, a backup can
    be made only where an update is due.
    """
    # A variable of several devices must be read as a tensor.
    return int(tf.identity(ops.convert_to_tensor(_unscaled(optimizer)._iterations)))


def place_of(optimizer, variable):
    """The index of a variable among those with which an optimizer was built.

    If `_get_variable_index` is removed, make a dict from `variable.path` in `build`.
    """
    return optimizer._get_variable_index(variable)


def _unscaled(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)  # A LossScaleOptimizer has one.
