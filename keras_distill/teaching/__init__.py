"""Ways to teach: models that learn together or without data, in `fit` as it is."""

from keras_distill.teaching.activation_statistics import ActivationStatistics
from keras_distill.teaching.activation_statistics import record_statistics
from keras_distill.teaching.data_free import DataFree
from keras_distill.teaching.mutual_learning import MutualLearning
from keras_distill.teaching.native_ensemble import NativeEnsemble
from keras_distill.teaching.rocket_launching import RocketLaunching
from keras_distill.teaching.synthesis import synthesize

__all__ = [
    "ActivationStatistics",
    "DataFree",
    "MutualLearning",
    "NativeEnsemble",
    "RocketLaunching",
    "record_statistics",
    "synthesize",
]
