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

from keras_distill import callbacks
from keras_distill import data
from keras_distill import export
from keras_distill import jobs
from keras_distill import losses
from keras_distill import metrics
from keras_distill import optimizers
from keras_distill import store
from keras_distill import students
from keras_distill import teachers
from keras_distill import teaching
from keras_distill import text
from keras_distill.data.inputs import DistillationInputs
from keras_distill.distillation.distiller import Distiller
from keras_distill.distillation.layer_mapping import layer_objectives
from keras_distill.distillation.objective import Objective
from keras_distill.evaluation.compare import compare
from keras_distill.export.saved_model.export import export_saved_model
from keras_distill.export.tflite.export import export_tflite
from keras_distill.export.timing.benchmark import benchmark
from keras_distill.jobs.describing import describe
from keras_distill.store.teacher_store import TeacherStore
from keras_distill.teachers.hub import HubLayer

__all__ = [
    "DistillationInputs",
    "Distiller",
    "HubLayer",
    "Objective",
    "TeacherStore",
    "benchmark",
    "callbacks",
    "compare",
    "data",
    "describe",
    "export",
    "export_saved_model",
    "export_tflite",
    "jobs",
    "layer_objectives",
    "losses",
    "metrics",
    "optimizers",
    "store",
    "students",
    "teachers",
    "teaching",
    "text",
]
