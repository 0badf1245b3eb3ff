"""Complete files from which training resumes exactly; they hold more than weights."""

import contextlib

import keras
import numpy as np

from keras_distill._files.destination import replaced_file


def replaced_model_file(filepath, suffix, overwrite):
    """A context that yields a temporary path for Keras, which itself writes in place."""
    is_local = str(filepath).endswith(suffix) and "://" not in str(filepath)
    if is_local and overwrite:
        return replaced_file(filepath)
    return contextlib.nullcontext(filepath)


def save_objective_shapes(store, objectives):
    """Writes the shapes of the objectives' taps.

    With them, projectors can be built before their weights are loaded.

    Args:
        store: The store that Keras passes to `save_own_variables`.
        objectives: List of `Objective`s.
    """
    for index, objective in enumerate(objectives):
        if objective.built:
            for key, shape in _built_shapes(index, objective):
                store[key] = np.array([-1 if size is None else size for size in shape])


def build_saved_objectives(store, objectives):
    """Builds the objectives that were built when the file was written."""
    names = set(store.keys())
    for index, objective in enumerate(objectives):
        keys = _shape_keys(index, objective)
        if not objective.built and names.issuperset(keras.tree.flatten(keys)):
            objective.build(*keras.tree.map_structure(lambda key: _sizes(store[key]), keys))


def _built_shapes(index, objective):
    """Pairs of a key and a shape that the objective was built with."""
    for keys, shapes in zip(
        _shape_keys(index, objective), objective.get_build_config()["shapes_dict"].values()
    ):
        yield from zip(keys, shapes) if isinstance(keys, list) else [(keys, shapes)]


def _shape_keys(index, objective):
    """The keys of the teacher's and the student's shape; a list of taps has a list of keys."""
    keys = []
    for side, paths in (
        ("teacher", objective.teacher_layer),
        ("student", objective.student_layer),
    ):
        key = f"objective_{index}_{side}_shape"
        is_list = isinstance(paths, list)
        keys.append([f"{key}_{i}" for i in range(len(paths))] if is_list else key)
    return keys


def _sizes(stored):
    return tuple(None if size < 0 else int(size) for size in stored)
