"""Teachers: text encoders of TF-Hub and KerasHub, and several teachers as one."""

from keras_distill.teachers.ensemble import Ensemble
from keras_distill.teachers.numpy_teacher import numpy_teacher
from keras_distill.teachers.specialists import Specialists
from keras_distill.teachers.task_teachers import TaskTeachers
from keras_distill.teachers.text_classifier import text_classifier
from keras_distill.teachers.text_inputs import TextInputs

__all__ = [
    "Ensemble",
    "Specialists",
    "TaskTeachers",
    "TextInputs",
    "numpy_teacher",
    "text_classifier",
]
