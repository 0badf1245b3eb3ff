"""Adapts losses of Keras and of users to the attributes that a Distiller and Objective use."""

import keras

from keras_distill.losses.base import DistillationLoss


@keras.saving.register_keras_serializable(package="keras_distill")
class FunctionLoss(keras.losses.Loss):
    """A loss made from a function of `y_true` and `y_pred`, as in `compile`.

    Args:
        function: Function that returns unreduced values, `(batch, ...)`, such as
            `keras.losses.mean_squared_error`.
        name: Name of the loss. Defaults to the function's name.
    """

    def __init__(self, function, *, name=None, reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name or function.__name__, reduction=reduction, dtype=dtype)
        self.function = function

    def call(self, y_true, y_pred):
        return self.function(y_true, y_pred)

    def get_config(self):
        function = keras.saving.serialize_keras_object(self.function)
        return {**super().get_config(), "function": function}

    @classmethod
    def from_config(cls, config):
        function = keras.saving.deserialize_keras_object(config["function"])
        return cls(**{**config, "function": function})


class AskedLoss(DistillationLoss):
    """Wraps a plain `keras.losses.Loss` with the attributes of a `DistillationLoss`.

    Args:
        loss: The loss. If it has the attributes `same_shapes` and `values_rank`, they are used.
    """

    def __init__(self, loss):
        super().__init__(name=loss.name, reduction=loss.reduction, dtype=loss.dtype)
        self.loss = loss
        self.same_shapes = getattr(loss, "same_shapes", True)
        self.values_rank = getattr(loss, "values_rank", None)

    def __call__(self, y_true, y_pred, sample_weight=None):
        return self.loss(y_true, y_pred, sample_weight)


def get(loss):
    """Converts a loss in any form that `compile` accepts to a `keras.losses.Loss`.

    Args:
        loss: A loss, a function of `y_true` and `y_pred`, a name that `keras.losses.get` knows,
            or anything else, which is returned unchanged.
    """
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return loss
    is_function = callable(loss) and not isinstance(loss, (keras.losses.Loss, type))
    return FunctionLoss(loss) if is_function and hasattr(loss, "__name__") else loss


def asked(loss):
    """Returns a loss with the attributes of a `DistillationLoss`, wrapped if necessary.

    Args:
        loss: A `keras.losses.Loss`.
    """
    return loss if isinstance(loss, DistillationLoss) else AskedLoss(loss)
