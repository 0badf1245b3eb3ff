"""What a weights file needs besides weights, so that training resumes exactly."""

import numpy as np


def save_training_state(store, objectives, random_states):
    """Writes the shapes of the objectives' taps, and the states of the random generators.

    With the shapes, projectors can be built before their weights are loaded. Keras saves
    no random states; without them, dropout would start anew on resuming.

    Args:
        store: The store that Keras passes to `save_own_variables`.
        objectives: List of `Objective`s.
        random_states: List of variables.
    """
    for index, objective in enumerate(objectives):
        if objective.built:
            for name, shape in objective.get_build_config()["shapes_dict"].items():
                sizes = [-1 if size is None else size for size in shape]
                store[f"objective_{index}_{name}"] = np.array(sizes)
    for index, state in enumerate(random_states):
        store[f"random_state_{index}"] = state.numpy()


def build_saved_objectives(store, objectives):
    """Builds the objectives that were built when the file was written."""
    names = set(store.keys())
    for index, objective in enumerate(objectives):
        keys = [f"objective_{index}_{side}_shape" for side in ("teacher", "student")]
        if not objective.built and names.issuperset(keys):
            shapes = ([None if size < 0 else int(size) for size in store[key]] for key in keys)
            objective.build(*shapes)


def load_random_states(store, random_states):
    """Sets the random generators to the states in the file."""
    names = set(store.keys())
    for index, state in enumerate(random_states):
        if f"random_state_{index}" in names:
            state.assign(store[f"random_state_{index}"])
