"""What an optimizer counts, and where it keeps what belongs to a variable."""

import tensorflow as tf
from keras import ops


def step_of(optimizer):
    """The optimizer's step as an int."""
    # The variable of several devices, and the tensor of an optimizer that accumulates gradients.
    return int(tf.identity(ops.convert_to_tensor(optimizer.iterations)))


def num_updates(optimizer, num_batches):
    """How often an optimizer changes the weights in so many batches."""
    return -(-num_batches // (_unscaled(optimizer).gradient_accumulation_steps or 1))


def batches_seen(optimizer):
    """How many batches an optimizer has had gradients of, also those that it still adds up.

    `optimizer.iterations` counts updates of the weights. Should `_iterations` go, a backup can be
    taken where an update is due, and nowhere else.
    """
    # The variable of several devices has no value of its own.
    return int(tf.identity(ops.convert_to_tensor(_unscaled(optimizer)._iterations)))


def place_of(optimizer, variable):
    """The place of a variable among those that an optimizer was built with.

    Should `_get_variable_index` go, a dict from `variable.path` made in `build` takes its place.
    """
    return optimizer._get_variable_index(variable)


def _unscaled(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)  # Of a LossScaleOptimizer.
