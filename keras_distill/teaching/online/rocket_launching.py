"""Rocket launching: a booster net trains together with a light net, and is then dropped."""

import keras

from keras_distill.losses.outputs.soft_targets import LogitsMSE
from keras_distill.teaching.online.base import Lesson
from keras_distill.teaching.online.base import OnlineDistillation


@keras.saving.register_keras_serializable(package="keras_distill")
class RocketLaunching(OnlineDistillation):
    """Rocket launching: a light net learns from a booster net that trains beside it.

    ```
    total = hard_light + hard_booster + weight * hint + regularisers
    hard  = the loss given to compile(), on the labels
    hint  = mean_classes (booster logits - light logits)^2
    ```

    The trunk, the layers that both share, runs once. The hint loss trains the light net and the
    trunk under it, never the booster (the paper's gradient block).

    This is an ordinary Keras model with the outputs "light" and "booster": compile, fit, evaluate,
    predict, callbacks and save work as usual. `student()` is the model to export.

    Args:
        light: A built Keras model with one output of logits: the light net after the trunk.
        booster: The booster net after the trunk, of the same output shape.
        trunk: The Keras model that both share, which starts with a `keras.Input`; light and
            booster read its output. None if they share nothing and read the inputs.
        soft_loss: The hint loss, with y_true = booster, y_pred = light net. None for
            `losses.LogitsMSE()`.
        weight: Weight of the hint loss, a float from 0 or a `LearningRateSchedule` of the
            optimizer's step. Defaults to 0.3.
        name: Name of the model.

    History and evaluate: loss; light_loss and booster_loss (the hard losses), light_soft_loss
    (the hint); the metrics of each, such as light_accuracy.

    Raises:
        ValueError: If a model is not built, light and booster have outputs of different shapes,
            or they share layers that are not in the trunk.

    Example:

    >>> import numpy as np
    >>> x, y = np.ones((8, 3), "float32"), np.arange(8) % 2
    >>> def dense(*widths, name):
    ...     layers = [keras.layers.Dense(width) for width in widths[1:]]
    ...     return keras.Sequential([keras.Input(widths[:1]), *layers], name=name)
    >>> rocket = RocketLaunching(
    ...     light=dense(5, 2, name="head"),
    ...     booster=dense(5, 32, 2, name="tower"),
    ...     trunk=dense(3, 5, name="trunk"),
    ... )
    >>> rocket.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> sorted(rocket.fit(x, y, verbose=0).history)
    ['booster_loss', 'light_loss', 'light_soft_loss', 'loss']
    >>> rocket.student().count_params()  # Trunk and light net.
    32

    Reference: Zhou et al. 2018, https://arxiv.org/abs/1708.04106. Deviation: the paper's hint is
    the sum over the classes, with a weight of 0.03 in the authors' code: on their ten classes that
    is 0.3 times the mean.
    """

    def __init__(
        self, *, light, booster, trunk=None, soft_loss=None, weight=0.3, name="rocket_launching"
    ):
        super().__init__(
            {"light": light, "booster": booster},
            [Lesson("booster", "light")],
            trunk=trunk,
            soft_loss=LogitsMSE() if soft_loss is None else soft_loss,
            weight=weight,
            name=name,
        )

    def export(self, filepath, *args, **kwargs):
        """As `student().export`: exports the light net with the trunk."""
        return self.student().export(filepath, *args, **kwargs)

    def get_config(self):
        parts = {**self.models, "trunk": self.trunk}
        parts = {name: keras.saving.serialize_keras_object(model) for name, model in parts.items()}
        return {**parts, **super().get_config()}
