"""Ways to teach: models that learn together, in `fit` as it is."""

from keras_distill.teaching.mutual_learning import MutualLearning
from keras_distill.teaching.native_ensemble import NativeEnsemble
from keras_distill.teaching.rocket_launching import RocketLaunching
from keras_distill.teaching.sequences import generate_targets

__all__ = ["MutualLearning", "NativeEnsemble", "RocketLaunching", "generate_targets"]
