"""Teachers: BERTs from TF-Hub and KerasHub, their fine-tuning, and ensembles."""

from keras_distill.teachers.bert import bert_classifier
from keras_distill.teachers.ensemble import Ensemble
from keras_distill.teachers.finetuning import LayerwiseAdamW
from keras_distill.teachers.finetuning import WarmupLinearDecay
from keras_distill.teachers.finetuning import finetuning_optimizer
from keras_distill.teachers.hub import HubLayer
from keras_distill.teachers.text_inputs import TextInputs

__all__ = [
    "Ensemble",
    "HubLayer",
    "LayerwiseAdamW",
    "TextInputs",
    "WarmupLinearDecay",
    "bert_classifier",
    "finetuning_optimizer",
]
