"""Losses between a teacher (`y_true`) and a student (`y_pred`)."""

from keras_distill.losses.activation_boundaries import ActivationBoundaries
from keras_distill.losses.activation_boundaries import FeatureOverhaul
from keras_distill.losses.attention import AttentionKL
from keras_distill.losses.attention import AttentionMSE
from keras_distill.losses.attention import AttentionRelationKL
from keras_distill.losses.attention_transfer import AttentionTransfer
from keras_distill.losses.flow import FSP
from keras_distill.losses.hints import FeatureCosine
from keras_distill.losses.hints import FeatureMSE
from keras_distill.losses.neuron_selectivity import NeuronSelectivity
from keras_distill.losses.pkd import PKD
from keras_distill.losses.soft_targets import BinarySoftTargets
from keras_distill.losses.soft_targets import LogitsMSE
from keras_distill.losses.soft_targets import SoftTargetCrossEntropy
from keras_distill.losses.soft_targets import SoftTargetKL

__all__ = [
    "ActivationBoundaries",
    "AttentionKL",
    "AttentionMSE",
    "AttentionRelationKL",
    "AttentionTransfer",
    "BinarySoftTargets",
    "FSP",
    "FeatureCosine",
    "FeatureMSE",
    "FeatureOverhaul",
    "LogitsMSE",
    "NeuronSelectivity",
    "PKD",
    "SoftTargetCrossEntropy",
    "SoftTargetKL",
]
