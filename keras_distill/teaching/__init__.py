"""Ways to teach: together, in stages, several tasks, without data, sequences."""

from keras_distill.teaching.activation_statistics import ActivationStatistics
from keras_distill.teaching.activation_statistics import record_statistics
from keras_distill.teaching.chain import fit_chain
from keras_distill.teaching.data_free import DataFree
from keras_distill.teaching.mutual_learning import MutualLearning
from keras_distill.teaching.native_ensemble import NativeEnsemble
from keras_distill.teaching.rocket_launching import RocketLaunching
from keras_distill.teaching.sequences import generate_targets
from keras_distill.teaching.stages import Stage
from keras_distill.teaching.stages import fit_stages
from keras_distill.teaching.synthesis import synthesize
from keras_distill.teaching.tasks import join_tasks
from keras_distill.teaching.tasks import mix_tasks

__all__ = [
    "ActivationStatistics",
    "DataFree",
    "MutualLearning",
    "NativeEnsemble",
    "RocketLaunching",
    "Stage",
    "fit_chain",
    "fit_stages",
    "generate_targets",
    "join_tasks",
    "mix_tasks",
    "record_statistics",
    "synthesize",
]
