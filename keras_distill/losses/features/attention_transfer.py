"""Attention transfer: compares where in a feature map the activations are large."""

import keras
from keras import ops

from keras_distill._arguments.checks import check_at_least
from keras_distill._keras.masks import keras_mask
from keras_distill._keras.masks import zero_masked
from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.base import shapes_agree
from keras_distill.losses.base import with_shape_of


@keras.saving.register_keras_serializable(package="keras_distill")
class AttentionTransfer(DistillationLoss):
    """Squared distance of two spatial attention maps.

    ```
    map  = sum_channels |features|^power        at each position, flattened to a vector
    loss = sum_positions (teacher map / |teacher map| - student map / |student map|)^2
    ```

    The loss is 0 for maps that are equal up to a factor, and 2 for maps that share no position.
    Teacher and student may have different numbers of channels. A map of zeros has no
    direction: its loss is 1 against any other map and 0 against another map of zeros, and it gets
    no gradient. Positions that the student's Keras mask leaves out are zeros in both maps.

    Args:
        power: p, a number >= 1; a larger power gives more weight to the largest activations.
            Defaults to 2.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, height, width, channels)`, or with any other
            number of spatial axes, at least one.
        y_pred: Student features at the same positions, with any number of channels.
        sample_weight: Optional weights, `(batch,)`.

    Raises:
        ValueError: If the power is out of range, or the positions differ.

    Example:

    >>> import numpy as np
    >>> loss = AttentionTransfer()
    >>> teacher = np.array([[[3.0, 4.0], [0.0, 0.0]]])  # 2 positions, 2 channels
    >>> float(loss(teacher, np.array([[[9.0], [0.0]]])))
    0.0
    >>> float(loss(teacher, np.array([[[0.0], [9.0]]])))
    2.0

    Reference: Zagoruyko & Komodakis 2017, https://arxiv.org/abs/1612.03928, eq. 2.
    Deviations: the distance is squared, as in the authors' code, where the paper writes the
    norm; the sum over the positions, where their code takes the mean, keeps the weight of an
    objective independent of the size of the maps, as the maps have length 1; the objective's
    weight is the paper's beta / 2. The authors' weight of 1000 for the mean is
    1000 / (height * width) here.
    """

    same_shapes = False
    values_rank = 1

    def __init__(
        self, power=2.0, *, reduction="sum_over_batch_size", name="attention_transfer", dtype=None
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.power = check_at_least("power", power, minimum=1)

    def __call__(self, y_true, y_pred, sample_weight=None):
        mask = keras_mask(y_pred)
        if mask is not None:
            y_true, y_pred = (zero_masked(mask, features) for features in (y_true, y_pred))
        return super().__call__(y_true, y_pred, sample_weight)

    def check_shapes(self, teacher_shape, student_shape):
        if len(student_shape) >= 3 and shapes_agree(teacher_shape[:-1], student_shape[:-1]):
            return
        raise ValueError(
            f"{type(self).__name__} compares features at the same positions, (batch, height, "
            "width, channels), with any number of channels. Received: teacher "
            f"{teacher_shape}, student {student_shape}. Give the objective a projector that "
            "resizes or pools the student's maps, such as keras.layers.Resizing(height, width)."
        )

    def call(self, y_true, y_pred):
        teacher, student = self._map(y_true), self._map(y_pred)
        if None in teacher.shape:
            teacher = with_shape_of(student, teacher)
        axes = tuple(range(1, len(student.shape)))
        return ops.sum(ops.square(teacher - student), axis=axes)

    def _map(self, features):
        """The attention map of each example, `(batch, height, width)`, of length 1."""
        axes = tuple(range(1, len(features.shape)))
        # Dividing by the largest entry first prevents overflow and underflow of the powers. The
        # scale cancels out, and so does its gradient, so it is treated as a constant.
        largest = ops.stop_gradient(ops.max(ops.abs(features), axis=axes, keepdims=True))
        scaled = features / ops.where(largest == 0, ops.ones_like(largest), largest)
        attention = ops.sum(ops.power(ops.abs(scaled), self.power), axis=-1)
        norm_squared = ops.sum(ops.square(attention), axis=axes[:-1], keepdims=True)
        is_zero = norm_squared == 0
        return attention * ops.rsqrt(ops.where(is_zero, ops.ones_like(norm_squared), norm_squared))

    def get_config(self):
        return {**super().get_config(), "power": self.power}
