"""Teachers: BERTs from TF-Hub and KerasHub, their fine-tuning, and ensembles."""

from keras_distill.teachers.bert import bert_classifier
from keras_distill.teachers.ensemble import Ensemble
from keras_distill.teachers.finetuning import LayerwiseAdamW
from keras_distill.teachers.finetuning import WarmupLinearDecay
from keras_distill.teachers.finetuning import finetuning_optimizer
from keras_distill.teachers.hub import HubLayer

__all__ = [
    "Ensemble",
    "HubLayer",
    "LayerwiseAdamW",
    "WarmupLinearDecay",
    "bert_classifier",
    "finetuning_optimizer",
]
