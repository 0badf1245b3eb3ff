"""A TFLite file as objects that can be changed, by the tools of the LiteRT package.

It documents none of them. Should they go, flatc makes the same classes of the public schema.
"""

from keras_distill._arguments.imports import import_module


def schema():
    """The module with the classes of the file's tables, such as `TensorT`."""
    return _tools().schema_fb


def read(content):
    """The file's model, a `ModelT`.

    Args:
        content: The bytes of a TFLite file.
    """
    return _tools().read_model_from_bytearray(bytearray(content))


def write(model):
    """The bytes of a file of this `ModelT`."""
    return bytes(_tools().convert_object_to_bytearray(model))


def _tools():
    return import_module("ai_edge_litert.tools.flatbuffer_utils")
