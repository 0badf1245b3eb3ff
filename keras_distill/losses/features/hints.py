"""Losses between hidden features of teacher and student (hints)."""

import keras
from keras import ops

from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.numerics import unit_vectors


@keras.saving.register_keras_serializable(package="keras_distill")
class FeatureMSE(DistillationLoss):
    """Mean squared difference of two feature tensors.

    ```
    loss = mean_features (teacher - student)^2
    ```

    Args:
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, ..., features)`.
        y_pred: Student features of the same shape. Their Keras mask is applied.
        sample_weight: Optional weights, `(batch, ...)`.

    Raises:
        ValueError: If the shapes differ. Nothing is broadcast.

    Example:

    >>> import numpy as np
    >>> loss = FeatureMSE()
    >>> float(loss(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])))
    2.0

    Reference: Romero et al. 2015, FitNets, https://arxiv.org/abs/1412.6550, eq. 3. Its
    regressor is `Objective(projector="auto")`. Deviation: the paper has half the squared
    norm, the sum over features; the mean keeps the weight of an objective independent of
    the layer's width.
    """

    def __init__(self, *, reduction="sum_over_batch_size", name="feature_mse", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred), axis=-1)


@keras.saving.register_keras_serializable(package="keras_distill")
class FeatureCosine(DistillationLoss):
    """One minus the cosine of the angle between two feature vectors.

    ```
    loss = 1 - <teacher, student> / (|teacher| |student|)
    ```

    The loss is 0 for equal directions and 2 for opposite ones, whatever the lengths. A
    vector of zeros has no direction: its loss is 1, and it gets no gradient.

    Args:
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, ..., features)`.
        y_pred: Student features of the same shape. Their Keras mask is applied.
        sample_weight: Optional weights, `(batch, ...)`.

    Raises:
        ValueError: If the shapes differ. Nothing is broadcast.

    Example:

    >>> import numpy as np
    >>> loss = FeatureCosine()
    >>> round(float(loss(np.array([[1.0, 0.0]]), np.array([[3.0, 0.0]]))), 6)
    0.0

    Reference: Sanh et al. 2019, DistilBERT, https://arxiv.org/abs/1910.01108, between the last
    hidden states. Deviation: the treatment of vectors of zeros, see above.
    """

    def __init__(self, *, reduction="sum_over_batch_size", name="feature_cosine", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        teacher, student = unit_vectors(y_true), unit_vectors(y_pred)
        # For unit vectors, |a - b|^2 / 2 = 1 - <a, b>, but without cancellation near 0.
        cosine_loss = ops.sum(ops.square(teacher - student), axis=-1) / 2
        is_zero = ops.logical_or(ops.all(teacher == 0, -1), ops.all(student == 0, -1))
        return ops.where(is_zero, ops.ones_like(cosine_loss), cosine_loss)
