"""Runs a trusted TFLite file, made by this process, in the LiteRT interpreter."""

from keras_distill._arguments.imports import import_module
from keras_distill._keras.litert_process import operation_names
from keras_distill._keras.litert_process import run_file

__all__ = ["open_file", "run_file", "select_tf_ops"]


def open_file(content):
    """Returns an interpreter for the bytes of a file.

    Raises:
        ImportError: If ai-edge-litert is not installed.
    """
    return interpreter_class()(model_content=content)


def interpreter_class():
    """LiteRT's interpreter; raises `ImportError` if ai-edge-litert is not installed."""
    return import_module("ai_edge_litert.interpreter").Interpreter


def select_tf_ops(interpreter):
    """The TensorFlow operations in a file, without repetition."""
    names = set(operation_names(interpreter))
    return tuple(sorted(name for name in names if name.startswith("Flex")))
