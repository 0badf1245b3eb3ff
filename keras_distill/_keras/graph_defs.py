"""TensorFlow graphs with variables as constants, which the profiler needs."""

import contextlib

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2_as_graph,
)
from tensorflow.python.util import deprecation


def frozen_graph(function):
    """The GraphDef of a concrete function, with inlined functions and variables as constants.

    TensorFlow 2 has no public name for this conversion. If it is removed, use the graph of the
    SavedModel that `model.export` writes.
    """
    _, graph = convert_variables_to_constants_v2_as_graph(function)
    return graph


@contextlib.contextmanager
def quiet():
    """A context without TensorFlow's deprecation messages about its collections and profiler.

    If `deprecation.silence` is removed, the messages are printed, and nothing else changes.
    """
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        with deprecation.silence():
            yield
    finally:
        logger.setLevel(level)
