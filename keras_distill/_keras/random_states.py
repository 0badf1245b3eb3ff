"""States of random generators, which Keras does not save: dropout would start anew."""

import h5py
import keras

_RANDOM_STATES = "keras_distill_random_states"


def random_states(model):
    """Lists the variables of a model that Keras does not save: states of random generators."""
    saved = {id(variable) for variable in model.weights + model.metrics_variables}
    return [variable for variable in model.variables if id(variable) not in saved]


def add_random_states(path, model):
    """Adds the states of a model's random generators to a file of its weights.

    For a plain Keras model, nothing else writes them.

    Args:
        path: An .h5 file that `save_weights` wrote.
        model: The model.
    """
    with h5py.File(path, "a") as file:
        for index, state in enumerate(random_states(model)):
            file[f"{_RANDOM_STATES}/{index}"] = keras.ops.convert_to_numpy(state)


def restore_random_states(path, model):
    """Sets a model's random generators to the states from `add_random_states`, if there are any."""
    with h5py.File(path, "r") as file:
        for index, state in enumerate(random_states(model)):
            if f"{_RANDOM_STATES}/{index}" in file:
                state.assign(file[f"{_RANDOM_STATES}/{index}"][()])


def save_random_states(store, model):
    """Writes the states of a model's random generators.

    Args:
        store: The store that Keras passes to `save_own_variables`.
        model: The model.
    """
    for index, state in enumerate(random_states(model)):
        store[f"random_state_{index}"] = state.numpy()


def load_random_states(store, model):
    """Sets a model's random generators to the states in the file."""
    names = set(store.keys())
    for index, state in enumerate(random_states(model)):
        if f"random_state_{index}" in names:
            state.assign(store[f"random_state_{index}"])
