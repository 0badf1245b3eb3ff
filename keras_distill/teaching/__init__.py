"""Ways to teach: online, in stages, and without data."""

from keras_distill.teaching.data_free.activation_statistics import ActivationStatistics
from keras_distill.teaching.data_free.activation_statistics import record_statistics
from keras_distill.teaching.data_free.synthesis import synthesize
from keras_distill.teaching.data_free.with_generator import DataFree
from keras_distill.teaching.online.mutual_learning import MutualLearning
from keras_distill.teaching.online.native_ensemble import NativeEnsemble
from keras_distill.teaching.online.rocket_launching import RocketLaunching
from keras_distill.teaching.stages.chain import fit_chain
from keras_distill.teaching.stages.stages import Stage
from keras_distill.teaching.stages.stages import fit_stages

__all__ = [
    "ActivationStatistics",
    "DataFree",
    "MutualLearning",
    "NativeEnsemble",
    "RocketLaunching",
    "Stage",
    "fit_chain",
    "fit_stages",
    "record_statistics",
    "synthesize",
]
