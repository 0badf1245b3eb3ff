"""What a batch carries: inputs of both models, several tasks, views, and texts of a teacher."""

from keras_distill.data.inputs import pair_inputs
from keras_distill.data.inputs import with_example_index
from keras_distill.data.random_views import RandomViews
from keras_distill.data.sequences import generate_targets
from keras_distill.data.tasks import join_tasks
from keras_distill.data.tasks import mix_tasks

__all__ = [
    "RandomViews",
    "generate_targets",
    "join_tasks",
    "mix_tasks",
    "pair_inputs",
    "with_example_index",
]
