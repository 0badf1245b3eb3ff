"""Ways to teach: models that learn together, several tasks; in `fit` as it is."""

from keras_distill.teaching.mutual_learning import MutualLearning
from keras_distill.teaching.native_ensemble import NativeEnsemble
from keras_distill.teaching.rocket_launching import RocketLaunching
from keras_distill.teaching.tasks import join_tasks
from keras_distill.teaching.tasks import mix_tasks

__all__ = ["MutualLearning", "NativeEnsemble", "RocketLaunching", "join_tasks", "mix_tasks"]
