"""Neuron selectivity: the positions of the input to which a layer's channels respond."""

import math

import keras
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill._keras.masks import keras_mask
from keras_distill._keras.masks import zero_masked
from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.base import shapes_agree
from keras_distill.losses.base import with_shape_of


@keras.saving.register_keras_serializable(package="keras_distill")
class NeuronSelectivity(DistillationLoss):
    """Maximum mean discrepancy (MMD) of the response patterns of teacher's and student's channels.

    ```
    f = a channel's responses at all positions, divided by their L2 norm
    k(f, g) = <f, g>^degree
    loss = mean k(teacher, teacher) + mean k(student, student) - 2 mean k(teacher, student)
    ```

    The means are over all pairs of channels. The loss is 0 if both models have the same
    patterns, in any channels and of any strength; the numbers of channels may differ.
    A channel without any response has no pattern: its kernels are 0 and it gets no gradient.
    Time and memory grow with the square of the number of channels.

    Args:
        degree: Power of the kernel, an integer of 1 or more: 1 for the linear kernel, which
            compares the mean patterns only; 2 for the paper's polynomial kernel, which compares
            how the positions respond together. Defaults to 2.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of inputs and value; intermediate results are float64. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, ..., channels)`, such as
            `(batch, height, width, channels)`.
        y_pred: Student features at the same positions. Positions that their Keras mask leaves out
            are treated as without response.
        sample_weight: Optional weights, `(batch,)`.

    Raises:
        ValueError: If degree is not an integer of 1 or more, there are no positions, or the
            positions of both models differ.

    Example:

    >>> import numpy as np
    >>> left, right = np.array([[[1.0, 0.0], [0.0, 2.0]]]), np.array([[[0.0], [3.0]]])
    >>> loss = NeuronSelectivity()
    >>> float(loss(left, left[..., ::-1])), float(loss(left, right))
    (0.0, 0.5)

    Reference: Huang & Wang 2017, Like What You Like, https://arxiv.org/abs/1707.01219.
    Deviations: the paper multiplies the discrepancy by 1/2; its polynomial kernel has an offset,
    which it sets to 0; the paper's Gaussian kernel is not implemented.
    """

    same_shapes = False
    values_rank = 1

    def __init__(
        self,
        degree=2,
        *,
        reduction="sum_over_batch_size",
        name="neuron_selectivity",
        dtype=None,
    ):
        degree = check_integer("degree", degree)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.degree = degree

    def __call__(self, y_true, y_pred, sample_weight=None):
        mask = keras_mask(y_pred)
        if mask is not None:
            y_true, y_pred = (zero_masked(mask, features) for features in (y_true, y_pred))
        return super().__call__(y_true, y_pred, sample_weight)

    def check_shapes(self, teacher_shape, student_shape):
        if len(teacher_shape) < 3 or not shapes_agree(teacher_shape[:-1], student_shape[:-1]):
            raise ValueError(
                "NeuronSelectivity compares features of the same positions, (batch, ..., channels) "
                f"with at least three axes. Received: teacher {teacher_shape}, student "
                f"{student_shape}. Give the objective a projector that resizes the student's."
            )

    def call(self, y_true, y_pred):
        y_true = with_shape_of(y_pred, y_true, width=ops.shape(y_true)[-1])
        teacher, student = _patterns(y_true), _patterns(y_pred)
        discrepancy = (
            self._similarity(teacher, teacher)
            - 2 * self._similarity(teacher, student)
            + self._similarity(student, student)
        )
        return ops.cast(discrepancy, self.dtype)

    def _similarity(self, patterns, others):
        products = ops.einsum("bpi,bpj->bij", patterns, others)
        return ops.mean(products**self.degree, axis=(1, 2))

    def get_config(self):
        return {**super().get_config(), "degree": self.degree}


def _patterns(features):
    """Vectors of length one, or 0, `(batch, positions, channels)`."""
    # float64 limits the cancellation of three almost equal terms, and squares do not overflow.
    features = ops.cast(features, "float64")
    num_examples, *positions, num_channels = ops.shape(features)
    features = ops.reshape(features, (num_examples, math.prod(positions), num_channels))
    squared = ops.sum(ops.square(features), axis=1, keepdims=True)
    is_silent = squared == 0
    patterns = features * ops.rsqrt(ops.where(is_silent, ops.ones_like(squared), squared))
    return ops.where(is_silent, ops.zeros_like(patterns), patterns)
