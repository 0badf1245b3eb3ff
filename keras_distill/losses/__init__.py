"""Losses between a teacher (`y_true`) and a student (`y_pred`)."""

from keras_distill.losses.activation_boundaries import ActivationBoundaries
from keras_distill.losses.activation_boundaries import FeatureOverhaul
from keras_distill.losses.attention import AttentionKL
from keras_distill.losses.attention import AttentionMSE
from keras_distill.losses.attention import AttentionRelationKL
from keras_distill.losses.attention_transfer import AttentionTransfer
from keras_distill.losses.bounded_regression import BoundedRegression
from keras_distill.losses.class_weights import ClassWeightedSoftTargets
from keras_distill.losses.contrastive import CRD
from keras_distill.losses.correlations import DIST
from keras_distill.losses.decoupled import DKD
from keras_distill.losses.factor_transfer import FactorTransfer
from keras_distill.losses.factor_transfer import paraphraser
from keras_distill.losses.flow import FSP
from keras_distill.losses.gradients import GradientNorm
from keras_distill.losses.gradients import JacobianMatching
from keras_distill.losses.gradients import Sobolev
from keras_distill.losses.hints import FeatureCosine
from keras_distill.losses.hints import FeatureMSE
from keras_distill.losses.instance_graph import IRG
from keras_distill.losses.knowledge_review import KnowledgeReview
from keras_distill.losses.masked_generative import MaskedGenerative
from keras_distill.losses.neuron_selectivity import NeuronSelectivity
from keras_distill.losses.pkd import PKD
from keras_distill.losses.rank_order import HardDarkRank
from keras_distill.losses.rank_order import SoftDarkRank
from keras_distill.losses.regions import RegionMSE
from keras_distill.losses.relations import CorrelationCongruence
from keras_distill.losses.relations import ProbabilisticTransfer
from keras_distill.losses.relations import RKDAngle
from keras_distill.losses.relations import RKDDistance
from keras_distill.losses.relations import SimilarityPreserving
from keras_distill.losses.soft_targets import BinarySoftTargets
from keras_distill.losses.soft_targets import LogitsMSE
from keras_distill.losses.soft_targets import SoftTargetCrossEntropy
from keras_distill.losses.soft_targets import SoftTargetKL
from keras_distill.losses.specialist_kl import SpecialistKL
from keras_distill.losses.variational_information import VariationalInformation

__all__ = [
    "ActivationBoundaries",
    "AttentionKL",
    "AttentionMSE",
    "AttentionRelationKL",
    "AttentionTransfer",
    "BinarySoftTargets",
    "BoundedRegression",
    "CRD",
    "ClassWeightedSoftTargets",
    "CorrelationCongruence",
    "DIST",
    "DKD",
    "FSP",
    "FactorTransfer",
    "FeatureCosine",
    "FeatureMSE",
    "FeatureOverhaul",
    "GradientNorm",
    "HardDarkRank",
    "IRG",
    "JacobianMatching",
    "KnowledgeReview",
    "LogitsMSE",
    "MaskedGenerative",
    "NeuronSelectivity",
    "PKD",
    "ProbabilisticTransfer",
    "RKDAngle",
    "RKDDistance",
    "RegionMSE",
    "SimilarityPreserving",
    "Sobolev",
    "SoftDarkRank",
    "SoftTargetCrossEntropy",
    "SoftTargetKL",
    "SpecialistKL",
    "VariationalInformation",
    "paraphraser",
]
