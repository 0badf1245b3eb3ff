"""Finds the damaged file of a SavedModel, which TensorFlow's errors often do not name."""

import os

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from keras_distill._arguments.printable import one_line

# Files that Git stores elsewhere are such texts until they are fetched.
_POINTER = b"version https://git-lfs"
_VARIABLES = "variables/variables"


def damaged_file(folder):
    """Finds the damaged file of a SavedModel that does not load.

    Args:
        folder: A local path without wildcard characters.

    Returns:
        The file's name and what is wrong with it, or None if nothing is found.
    """
    path = os.path.join(folder, "saved_model.pb")
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            content = file.read()
        graphs = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    except OSError as error:
        return f"saved_model.pb cannot be read: {one_line(error)}"
    except DecodeError:
        if content.startswith(_POINTER):
            return "saved_model.pb is a pointer of Git LFS: git lfs pull fetches the file"
        return f"saved_model.pb is no SavedModel, or is cut short, at {len(content):,} bytes"
    if not graphs:
        return f"saved_model.pb holds no graph, in {len(content):,} bytes"
    has_variables = any(node.HasField("variable") for node in graphs[0].object_graph_def.nodes)
    return _problem_of_variables(folder) if has_variables else None


def _problem_of_variables(folder):
    if not os.path.exists(os.path.join(folder, f"{_VARIABLES}.index")):
        return f"{_VARIABLES}.index is missing"
    try:
        reader = tf.train.load_checkpoint(os.path.join(folder, _VARIABLES))
    except Exception as error:
        return f"{_VARIABLES}.index is damaged: {one_line(error)}"
    try:
        for name in reader.get_variable_to_shape_map():
            # Each value has a checksum.
            reader.get_tensor(name)
    except Exception as error:
        return _problem_of_values(folder, error)
    return None


def _problem_of_values(folder, error):
    names = [n for n in os.listdir(os.path.join(folder, "variables")) if ".data-" in n]
    for name in sorted(names):
        with open(os.path.join(folder, "variables", name), "rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                return f"variables/{name} is a pointer of Git LFS: git lfs pull fetches the file"
    if not names:
        return f"{_VARIABLES}.data-* is missing"
    return f"the values in {_VARIABLES}.data-* are cut short or changed: {one_line(error)}"
