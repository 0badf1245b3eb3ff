"""Ways to teach: in stages, one model after another, and models that learn together."""

from keras_distill.teaching.chain import fit_chain
from keras_distill.teaching.mutual_learning import MutualLearning
from keras_distill.teaching.native_ensemble import NativeEnsemble
from keras_distill.teaching.rocket_launching import RocketLaunching
from keras_distill.teaching.sequences import generate_targets
from keras_distill.teaching.stages import Stage
from keras_distill.teaching.stages import fit_stages

__all__ = [
    "MutualLearning",
    "NativeEnsemble",
    "RocketLaunching",
    "Stage",
    "fit_chain",
    "fit_stages",
    "generate_targets",
]
