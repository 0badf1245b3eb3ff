"""Teachers: BERTs from TF-Hub and KerasHub, their fine-tuning, and several teachers as one."""

from keras_distill.optimizers import LayerwiseAdamW
from keras_distill.optimizers import WarmupLinearDecay
from keras_distill.optimizers import finetuning_optimizer
from keras_distill.teachers.bert import bert_classifier
from keras_distill.teachers.ensemble import Ensemble
from keras_distill.teachers.hub import HubLayer
from keras_distill.teachers.numpy_teacher import numpy_teacher
from keras_distill.teachers.specialists import Specialists
from keras_distill.teachers.task_teachers import TaskTeachers
from keras_distill.teachers.text_inputs import TextInputs

__all__ = [
    "Ensemble",
    "HubLayer",
    "LayerwiseAdamW",
    "Specialists",
    "TaskTeachers",
    "TextInputs",
    "WarmupLinearDecay",
    "bert_classifier",
    "finetuning_optimizer",
    "numpy_teacher",
]
