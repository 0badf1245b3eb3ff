"""TensorFlow's graphs with their variables as constants, as its profiler reads them."""

import contextlib

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2_as_graph,
)
from tensorflow.python.util import deprecation


def frozen_graph(function):
    """The GraphDef of a concrete function, functions inlined and variables made constants.

    TensorFlow has no public name for it in version 2. Should it go, the graph of the SavedModel
    that `model.export` writes takes its place.
    """
    _, graph = convert_variables_to_constants_v2_as_graph(function)
    return graph


@contextlib.contextmanager
def quiet():
    """A context without TensorFlow's remarks on its own collections and its profiler's age.

    Should `deprecation.silence` go, the remarks are printed, and nothing else changes.
    """
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        with deprecation.silence():
            yield
    finally:
        logger.setLevel(level)
