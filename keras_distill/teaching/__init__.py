"""Ways to teach: models that learn together, in `fit` as it is."""

from keras_distill.teaching.mutual_learning import MutualLearning
from keras_distill.teaching.native_ensemble import NativeEnsemble
from keras_distill.teaching.rocket_launching import RocketLaunching

__all__ = ["MutualLearning", "NativeEnsemble", "RocketLaunching"]
