"""Losses on features before a ReLU: activation boundaries, and the comprehensive overhaul."""

import math

import keras
import numpy as np
from keras import ops

from keras_distill._arguments.checks import check_positive
from keras_distill._arguments.checks import is_finite
from keras_distill._arguments.checks import plain
from keras_distill.losses.base import DistillationLoss


@keras.saving.register_keras_serializable(package="keras_distill")
class ActivationBoundaries(DistillationLoss):
    """Squared hinge loss that brings each neuron of the student to its teacher's side of 0.

    ```
    side = 1 where the teacher > 0, else -1
    loss = mean_features max(0, margin - side * student)^2
    ```

    Use it on features before a ReLU. The loss depends only on which neurons of the teacher are
    active, not on how strongly they respond. It is 0 once the student is on the teacher's side by
    the margin.

    Args:
        margin: Distance from 0 that the student should reach, a positive float. Defaults to 1.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Teacher features before the activation, `(batch, ..., features)`.
        y_pred: Student features of the same shape. Their Keras mask is applied.
        sample_weight: Optional weights, `(batch, ...)`.

    Raises:
        ValueError: If margin is not positive and finite, or the shapes differ.

    Example: with the paper's connector, a projector to the teacher's number of channels.

    ```python
    connector = keras.Sequential(
        [keras.layers.Conv2D(64, 1, use_bias=False), keras.layers.BatchNormalization()]
    )
    kd.Objective(
        kd.losses.ActivationBoundaries(),
        teacher_layer="bn_4",
        student_layer="bn_2",
        projector=connector,
    )
    ```

    >>> import numpy as np
    >>> teacher, student = np.array([[0.1, -7.0]]), np.array([[3.0, 0.5]])
    >>> float(ActivationBoundaries()(teacher, student))
    1.125

    Reference: Heo et al. 2019, Knowledge Transfer via Distillation of Activation Boundaries,
    https://arxiv.org/abs/1811.03233, the alternative to its activation transfer loss.
    Deviations: the paper has the sum over features; the mean keeps the weight of an objective
    independent of the layer's width. The paper trains with this loss first and with the labels
    afterwards; an Objective does both at once.
    """

    def __init__(
        self,
        margin=1.0,
        *,
        reduction="sum_over_batch_size",
        name="activation_boundaries",
        dtype=None,
    ):
        margin = check_positive("margin", margin)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin = margin

    def call(self, y_true, y_pred):
        agreement = ops.where(y_true > 0, y_pred, -y_pred)
        return ops.mean(ops.square(ops.relu(self.margin - agreement)), axis=-1)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}


@keras.saving.register_keras_serializable(package="keras_distill")
class FeatureOverhaul(DistillationLoss):
    """Partial squared difference to the teacher's features after a margin ReLU.

    ```
    target = max(teacher, margin)
    loss = mean_features of 0 where student <= target <= 0, else (target - student)^2
    ```

    Use it on features before a ReLU. Values that a ReLU passes must be matched exactly; where the
    teacher is negative, the student need only be as low as the teacher or the margin, whichever is
    higher. The loss is 0 where student = teacher. The paper's margin of a channel is the mean of
    its negative responses, which `from_batch_normalization` computes.

    Args:
        margin: A finite number of at most 0, or a list with one number for each feature of the
            teacher. Defaults to 0: the target is then the output of the teacher's ReLU.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Teacher features before the activation, `(batch, ..., features)`.
        y_pred: Student features of the same shape. Their Keras mask is applied.
        sample_weight: Optional weights, `(batch, ...)`.

    Raises:
        ValueError: If a number in margin is above 0 or not finite, the shapes differ, or margin
            does not have one number for each feature of the teacher.

    Example: with the paper's margins and connector, a projector to the teacher's channels.

    ```python
    connector = keras.Sequential(
        [keras.layers.Conv2D(64, 1, use_bias=False), keras.layers.BatchNormalization()]
    )
    kd.Objective(
        kd.losses.FeatureOverhaul.from_batch_normalization(teacher.get_layer("bn_4")),
        teacher_layer="bn_4",
        student_layer="bn_2",
        projector=connector,
    )
    ```

    >>> import numpy as np
    >>> teacher, student = np.array([[2.0, -3.0, -3.0]]), np.array([[1.0, -0.7, 0.5]])
    >>> float(FeatureOverhaul(margin=-0.5)(teacher, student))
    0.6666666865348816

    Reference: Heo et al. 2019, A Comprehensive Overhaul of Feature Distillation,
    https://arxiv.org/abs/1904.01866, section 3. Deviation: the paper has the sum over features;
    the mean keeps the weight of an objective independent of the layer's width. The authors' code
    halves the weight for each layer further from the last; give the objectives such weights.
    """

    def __init__(
        self, margin=0.0, *, reduction="sum_over_batch_size", name="feature_overhaul", dtype=None
    ):
        margins = margin if isinstance(margin, (list, tuple)) else [margin]
        if not margins or not all(is_finite(m) and m <= 0 for m in margins):
            raise ValueError(
                "margin must be a finite number of at most 0, or a list of one for each feature "
                f"of the teacher. Received: margin={margin!r}"
            )
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        margins = list(map(plain, margins))
        self.margin = margins if isinstance(margin, (list, tuple)) else margins[0]

    @classmethod
    def from_batch_normalization(cls, layer, **settings):
        """Makes the loss for the outputs of a teacher's batch normalisation layer.

        The outputs are assumed to be normally distributed, with mean beta and standard deviation
        |gamma|: the margin of a channel is the mean of its negative outputs.

        ```
        z = beta / |gamma|
        margin = beta - |gamma| * normal density(z) / (1 - normal distribution(z))
        ```

        Args:
            layer: The teacher's `keras.layers.BatchNormalization`, which the Objective taps.
            **settings: The other arguments of this class.

        Raises:
            ValueError: If the layer is of another kind, or not built.

        Deviation: for channels that are negative in less than 0.1% of all cases, the authors' code
        uses `-3 * |gamma|`; here the mean is used for these channels, too.
        """
        if not isinstance(layer, keras.layers.BatchNormalization) or not layer.built:
            raise ValueError(
                "layer must be a built keras.layers.BatchNormalization of the teacher. For other "
                f"layers, give FeatureOverhaul(margin=...). Received: layer={layer!r}"
            )
        beta = _float64(layer.beta) if layer.center else np.zeros(1)
        gamma = _float64(layer.gamma) if layer.scale else np.ones(1)
        num_features = layer.moving_mean.shape[0]
        pairs = np.broadcast_arrays(beta, gamma, np.empty(num_features))[:2]
        return cls([float(_mean_of_negatives(b, abs(g))) for b, g in zip(*pairs)], **settings)

    def check_shapes(self, teacher_shape, student_shape):
        super().check_shapes(teacher_shape, student_shape)
        if isinstance(self.margin, list) and len(self.margin) != teacher_shape[-1]:
            raise ValueError(
                "margin must be one number, or one for each feature of the teacher. Received: "
                f"{len(self.margin)} numbers and a teacher of shape {teacher_shape}"
            )

    def call(self, y_true, y_pred):
        target = ops.maximum(y_true, ops.convert_to_tensor(self.margin, y_true.dtype))
        is_low_enough = ops.logical_and(y_pred <= target, target <= 0)
        shortfall = ops.where(is_low_enough, ops.zeros_like(target), target - y_pred)
        return ops.mean(ops.square(shortfall), axis=-1)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}


def _mean_of_negatives(mean, deviation):
    """Mean of the negative values of a normal distribution; in its far tail, an approximation."""
    if deviation == 0:
        return min(mean, 0.0)
    # Beyond 30 standard deviations there are no negative values, and their share underflows.
    z = min(mean / deviation, 30.0)
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    share = math.erfc(z / math.sqrt(2)) / 2
    return deviation * (z - density / share)


def _float64(variable):
    return keras.ops.convert_to_numpy(variable).astype("float64")
