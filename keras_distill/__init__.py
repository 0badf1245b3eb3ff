"""Trains a small Keras model from a large one, and ships it."""

import keras

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "keras_distill needs Keras on TensorFlow. Received: the backend "
        f"{keras.backend.backend()!r}. Set the environment variable KERAS_BACKEND=tensorflow "
        "before importing keras."
    )

from keras_distill import losses
from keras_distill.distiller import Distiller
from keras_distill.inputs import DistillationInputs
from keras_distill.inputs import pair_inputs
from keras_distill.objective import Objective

__all__ = [
    "DistillationInputs",
    "Distiller",
    "Objective",
    "losses",
    "pair_inputs",
]
