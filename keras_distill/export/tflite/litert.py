"""A TFLite file that this process has just made, in the LiteRT interpreter."""

from keras_distill._arguments.imports import import_module
from keras_distill._keras.litert_process import operation_names
from keras_distill._keras.litert_process import run_file

__all__ = ["open_file", "run_file", "select_tf_ops"]


def open_file(content):
    """Returns an interpreter of a file, given as its bytes.

    Raises:
        ImportError: If ai-edge-litert is not installed.
    """
    return interpreter_class()(model_content=content)


def interpreter_class():
    """LiteRT's interpreter; raises `ImportError` if ai-edge-litert is not installed."""
    return import_module("ai_edge_litert.interpreter").Interpreter


def select_tf_ops(interpreter):
    """The operations of TensorFlow in a file, each once."""
    names = set(operation_names(interpreter))
    return tuple(sorted(name for name in names if name.startswith("Flex")))
