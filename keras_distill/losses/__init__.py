"""Losses between a teacher (`y_true`) and a student (`y_pred`)."""

from keras_distill.losses.attention import AttentionKL
from keras_distill.losses.attention import AttentionMSE
from keras_distill.losses.attention import AttentionRelationKL
from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.features.activation_boundaries import ActivationBoundaries
from keras_distill.losses.features.activation_boundaries import FeatureOverhaul
from keras_distill.losses.features.attention_transfer import AttentionTransfer
from keras_distill.losses.features.factor_transfer import FactorTransfer
from keras_distill.losses.features.factor_transfer import paraphraser
from keras_distill.losses.features.flow import FSP
from keras_distill.losses.features.hints import FeatureCosine
from keras_distill.losses.features.hints import FeatureMSE
from keras_distill.losses.features.knowledge_review import KnowledgeReview
from keras_distill.losses.features.masked_generative import MaskedGenerative
from keras_distill.losses.features.neuron_selectivity import NeuronSelectivity
from keras_distill.losses.features.pkd import PKD
from keras_distill.losses.features.regions import RegionMSE
from keras_distill.losses.features.variational_information import VariationalInformation
from keras_distill.losses.gradients import GradientNorm
from keras_distill.losses.gradients import JacobianMatching
from keras_distill.losses.gradients import Sobolev
from keras_distill.losses.outputs.bounded_regression import BoundedRegression
from keras_distill.losses.outputs.class_weights import ClassWeightedSoftTargets
from keras_distill.losses.outputs.correlations import DIST
from keras_distill.losses.outputs.decoupled import DKD
from keras_distill.losses.outputs.soft_targets import BinarySoftTargets
from keras_distill.losses.outputs.soft_targets import LogitsMSE
from keras_distill.losses.outputs.soft_targets import SoftTargetKL
from keras_distill.losses.outputs.specialist_kl import SpecialistKL
from keras_distill.losses.relations.contrastive import CRD
from keras_distill.losses.relations.distances import CorrelationCongruence
from keras_distill.losses.relations.distances import ProbabilisticTransfer
from keras_distill.losses.relations.distances import RKDAngle
from keras_distill.losses.relations.distances import RKDDistance
from keras_distill.losses.relations.distances import SimilarityPreserving
from keras_distill.losses.relations.instance_graph import IRG
from keras_distill.losses.relations.rank_order import HardDarkRank
from keras_distill.losses.relations.rank_order import SoftDarkRank

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
    "DistillationLoss",
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
    "SoftTargetKL",
    "SpecialistKL",
    "VariationalInformation",
    "paraphraser",
]
