"""Trains a small Keras model to imitate a large one, and exports it."""

import os

# The backend is checked before the import: Keras imports its package, which may be missing.
_backend = os.environ.get("KERAS_BACKEND")
if _backend in (None, "", "tensorflow"):
    import keras

    _backend = keras.config.backend()
if _backend != "tensorflow":
    raise ImportError(
        f"keras_distill needs Keras on TensorFlow. Received: the backend {_backend!r}. Set the "
        "environment variable KERAS_BACKEND=tensorflow before importing keras."
    )

from keras_distill import export
from keras_distill import jobs
from keras_distill import losses
from keras_distill import metrics
from keras_distill import store
from keras_distill import students
from keras_distill import teachers
from keras_distill import teaching
from keras_distill import text
from keras_distill.callbacks.backup import BackupAndRestore
from keras_distill.callbacks.pruning import Pruning
from keras_distill.data.inputs import DistillationInputs
from keras_distill.data.inputs import pair_inputs
from keras_distill.data.inputs import with_example_index
from keras_distill.distillation.distiller import Distiller
from keras_distill.distillation.layer_mapping import layer_objectives
from keras_distill.distillation.objective import Objective
from keras_distill.evaluation import Comparison
from keras_distill.evaluation import compare
from keras_distill.export import ImageMetadata
from keras_distill.export import TextMetadata
from keras_distill.export import TFLiteReport
from keras_distill.export import benchmark
from keras_distill.export import export_saved_model
from keras_distill.export import export_tflite
from keras_distill.jobs.describing import describe
from keras_distill.store import TeacherStore
from keras_distill.store import beam
from keras_distill.teachers import HubLayer

__all__ = [
    "BackupAndRestore",
    "Comparison",
    "DistillationInputs",
    "Distiller",
    "HubLayer",
    "ImageMetadata",
    "Objective",
    "Pruning",
    "TFLiteReport",
    "TeacherStore",
    "TextMetadata",
    "beam",
    "benchmark",
    "compare",
    "describe",
    "export",
    "export_saved_model",
    "export_tflite",
    "jobs",
    "layer_objectives",
    "losses",
    "metrics",
    "pair_inputs",
    "store",
    "students",
    "teachers",
    "teaching",
    "text",
    "with_example_index",
]
