"""Estimates the difference between two runs of a model that rounding alone explains."""

import keras
import numpy as np

from keras_distill.export import parity

# One step of float32, by which each operation may round.
_STEP = 2.0**-23
# In a deep network, another order of sums changes the outputs by a few times as much.
_FACTOR = 10


def rounding_noise(named_model, inputs, expected):
    """Runs a model once more with its weights and inputs changed by one step of float32.

    A graph orders its sums differently from Keras's eager mode, and other batch sizes use
    other kernels. The effect on the outputs depends on the model, so it is measured by a change
    of the same size. A file that computes something else differs by far more.

    Args:
        named_model: A deterministic `NamedModel`.
        inputs: Arrays by name.
        expected: The model's outputs for these inputs, as `comparable` gives them.

    Returns:
        Dict from the names of the outputs to the difference to allow for.
    """
    generator = np.random.default_rng(0)
    moved = {name: _moved(values, generator) for name, values in inputs.items()}
    weights = [
        (variable, keras.ops.convert_to_tensor(_moved(variable.numpy(), generator)))
        for variable in named_model.model.variables
        if variable.dtype == "float32"
    ]
    with keras.StatelessScope(state_mapping=weights):
        outputs = named_model.comparable(parity.run(named_model, moved))
    return {
        name: _FACTOR * float(np.max(np.abs(outputs[name] - values), initial=0))
        for name, values in expected.items()
        if np.asarray(values).dtype.kind == "f"
    }


def _moved(values, generator):
    values = np.asarray(values)
    if values.dtype.kind != "f":
        return values
    return (values * (1 + _STEP * generator.uniform(-1, 1, values.shape))).astype(values.dtype)
