"""Variational information distillation (VID)."""

import math

import keras
from keras import ops

from keras_distill._arguments.checks import check_positive
from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.base import check_channels


@keras.saving.register_keras_serializable(package="keras_distill")
class VariationalInformation(DistillationLoss):
    """Negative log likelihood of the teacher's features, given the student's (VID).

    ```
    loss = mean_c log(sigma_c) + (teacher_c - student_c)^2 / (2 sigma_c^2)
    sigma_c^2 = log(1 + exp(alpha_c)) + epsilon
    ```

    The student's features are the mean of a Gaussian whose variances, one for each channel c, are
    trained with the student: a channel that the student cannot predict has less weight. The loss
    is a bound on the mutual information of both models' features. It may be negative.

    Args:
        initial_variance: sigma^2 of every channel before training, a float above epsilon.
            Defaults to 5.
        epsilon: Smallest variance, a positive float. Defaults to 1e-5.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation and of alpha. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, ..., channels)`.
        y_pred: Student features of the same shape, the mean. Their Keras mask is applied.
        sample_weight: Optional weights, `(batch, ...)`.

    Raises:
        ValueError: If an argument is out of range, the shapes differ, or the number of channels
            is not known.

    Example: the paper's network for the mean is the objective's projector.

    ```python
    mean = keras.Sequential(
        [
            keras.layers.Conv2D(64, 1, use_bias=False, activation="relu"),
            keras.layers.Conv2D(64, 1, use_bias=False, activation="relu"),
            keras.layers.Conv2D(64, 1, use_bias=False),
        ]
    )
    kd.Objective(
        kd.losses.VariationalInformation(),
        teacher_layer="block_4",
        student_layer="block_2",
        projector=mean,
    )
    ```

    >>> import numpy as np
    >>> loss = VariationalInformation(initial_variance=1.0)
    >>> round(float(loss(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]))), 4)
    1.0

    Reference: Ahn et al. 2019, https://arxiv.org/abs/1904.05835, eq. 5 and 6. Deviations: the
    paper sums over channels and positions; the mean, as in its authors' code, keeps a weight
    independent of the layer's size. Without a projector, the mean is the student's own features.
    """

    def __init__(
        self,
        initial_variance=5.0,
        *,
        epsilon=1e-5,
        reduction="sum_over_batch_size",
        name="variational_information",
        dtype=None,
    ):
        epsilon = check_positive("epsilon", epsilon)
        initial_variance = check_positive("initial_variance", initial_variance)
        if initial_variance <= epsilon:
            raise ValueError(
                f"initial_variance must be above epsilon. Received: {initial_variance=}, {epsilon=}"
            )
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.initial_variance = float(initial_variance)
        self.epsilon = float(epsilon)
        self.variance = _Variance(self.initial_variance, self.epsilon, dtype=self.dtype)

    def check_shapes(self, teacher_shape, student_shape):
        super().check_shapes(teacher_shape, student_shape)
        check_channels(self, student_shape)

    def call(self, y_true, y_pred):
        variance = self.variance(y_pred)
        values = ops.log(variance) + ops.square(y_true - y_pred) / variance
        return ops.mean(values, axis=-1) / 2

    def get_config(self):
        return {
            **super().get_config(),
            "initial_variance": self.initial_variance,
            "epsilon": self.epsilon,
        }


class _Variance(keras.layers.Layer):
    """One variance for each channel."""

    def __init__(self, initial, epsilon, dtype):
        super().__init__(dtype=dtype, name="variance")
        self.supports_masking = True  # Keras applies the mask to the loss's values.
        self.epsilon = epsilon
        # This form of the inverse softplus does not overflow for any variance.
        above = initial - epsilon
        self.initial_alpha = above + math.log(-math.expm1(-above))

    def build(self, features_shape):
        initializer = keras.initializers.Constant(self.initial_alpha)
        self.alpha = self.add_weight((features_shape[-1],), initializer, name="alpha")

    def call(self, features):
        return ops.softplus(self.alpha) + self.epsilon
