"""Losses between a teacher (`y_true`) and a student (`y_pred`)."""

from keras_distill.losses.activation_boundaries import ActivationBoundaries
from keras_distill.losses.activation_boundaries import FeatureOverhaul
from keras_distill.losses.contrastive import CRD
from keras_distill.losses.correlations import DIST
from keras_distill.losses.decoupled import DKD
from keras_distill.losses.flow import FSP
from keras_distill.losses.hints import FeatureCosine
from keras_distill.losses.hints import FeatureMSE
from keras_distill.losses.instance_graph import IRG
from keras_distill.losses.neuron_selectivity import NeuronSelectivity
from keras_distill.losses.rank_order import HardDarkRank
from keras_distill.losses.rank_order import SoftDarkRank
from keras_distill.losses.relations import CorrelationCongruence
from keras_distill.losses.relations import ProbabilisticTransfer
from keras_distill.losses.relations import RKDAngle
from keras_distill.losses.relations import RKDDistance
from keras_distill.losses.relations import SimilarityPreserving
from keras_distill.losses.soft_targets import BinarySoftTargets
from keras_distill.losses.soft_targets import LogitsMSE
from keras_distill.losses.soft_targets import SoftTargetCrossEntropy
from keras_distill.losses.soft_targets import SoftTargetKL

__all__ = [
    "ActivationBoundaries",
    "BinarySoftTargets",
    "CRD",
    "CorrelationCongruence",
    "DIST",
    "DKD",
    "FSP",
    "FeatureCosine",
    "FeatureMSE",
    "FeatureOverhaul",
    "HardDarkRank",
    "IRG",
    "LogitsMSE",
    "NeuronSelectivity",
    "ProbabilisticTransfer",
    "RKDAngle",
    "RKDDistance",
    "SimilarityPreserving",
    "SoftDarkRank",
    "SoftTargetCrossEntropy",
    "SoftTargetKL",
]
