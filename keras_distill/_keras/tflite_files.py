"""A TFLite file as mutable objects, with undocumented tools of the LiteRT package.

If these tools are removed, flatc generates the same classes from the public schema.
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
    """The bytes of the file for this `ModelT`."""
    return bytes(_tools().convert_object_to_bytearray(model))


def _tools():
    return import_module("ai_edge_litert.tools.flatbuffer_utils")
