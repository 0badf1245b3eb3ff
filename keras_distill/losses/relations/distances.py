"""Losses between the relations of a batch's examples: distances, angles, similarities."""

import math

import keras
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_positive
from keras_distill.losses.numerics import divide
from keras_distill.losses.numerics import safe_sqrt
from keras_distill.losses.relations.pairs import cosines
from keras_distill.losses.relations.pairs import distances
from keras_distill.losses.relations.pairs import dot_products
from keras_distill.losses.relations.pairs import others
from keras_distill.losses.relations.per_example import PerExampleLoss

# Kernels have a lower bound because a probability of 0 has no logarithm.
_SMALLEST_KERNEL = 1e-12


class RelationLoss(PerExampleLoss):
    """A loss on the relations between the examples of a batch.

    Subclasses compare two matrices of dot products, `(batch, batch)` in float64.
    """

    # A relation has two examples, or three.
    smallest_batch = 2
    # True for relations that do not change when all features are shifted.
    is_centred = False
    default_name = None

    def __init__(self, *, reduction="sum_over_batch_size", name=None, dtype=None):
        super().__init__(name=name or self.default_name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        products = [dot_products(features, self.is_centred) for features in (y_true, y_pred)]
        return ops.cast(self.compare(*products), self.dtype)

    def compare(self, teacher, student):
        """Values `(batch,)` of two matrices of dot products."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="keras_distill")
class RKDDistance(RelationLoss):
    """Difference of the distances between examples, in units of their mean.

    ```
    d_ij = |x_i - x_j| / mean of |x_k - x_l| over all pairs          for teacher and student
    loss_i = mean over j != i of huber(d_ij of the teacher - d_ij of the student)
    ```

    Scaling, shifting or rotating the features does not change the loss, and their widths
    may differ. Time and memory grow with the square of the batch.

    Args:
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the value; intermediate results are float64. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, ...)`, one vector for each example.
        y_pred: Student features, `(batch, ...)`. Positions that their Keras mask leaves out
            are zeros in both.
        sample_weight: Optional weights, `(batch,)`, of the examples i. A weight of 0 does not
            take an example out of the others' relations.

    Raises:
        ValueError: If the batches differ, or have fewer than two examples. In a last batch of
            one, whose size is known only at run time, the loss is 0.

    Example:

    >>> import numpy as np
    >>> teacher = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    >>> round(float(RKDDistance()(teacher, 10 * teacher[:, :1])), 6)
    0.0

    Reference: Park et al. 2019, https://arxiv.org/abs/1904.05068, section 3.2. Deviation: the
    paper sums over the pairs; the mean keeps a weight independent of the batch size.
    """

    default_name = "rkd_distance"
    is_centred = True

    def compare(self, teacher, student):
        difference = _relative_distances(teacher) - _relative_distances(student)
        num_others = ops.cast(ops.shape(difference)[0] - 1, difference.dtype)
        return divide(ops.sum(_huber(difference), axis=-1), num_others)


@keras.saving.register_keras_serializable(package="keras_distill")
class RKDAngle(RelationLoss):
    """Difference of the angles that three examples form.

    ```
    cos_ijk = <x_i - x_j, x_k - x_j> / (|x_i - x_j| |x_k - x_j|)     for teacher and student
    loss_j = mean over i != j != k != i of huber(cos_ijk of the teacher - of the student)
    ```

    Scaling, shifting or rotating the features does not change the loss, and their widths
    may differ. Time and memory grow with the cube of the batch. An angle between equal examples is
    treated as a right angle.

    Args:
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the value; intermediate results are float64. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, ...)`, one vector for each example.
        y_pred: Student features, `(batch, ...)`. Positions that their Keras mask leaves out
            are zeros in both.
        sample_weight: Optional weights, `(batch,)`, of the examples j at the vertex.

    Raises:
        ValueError: If the batches differ, or have fewer than three examples. In a smaller last
            batch, whose size is known only at run time, the loss is 0.

    Example:

    >>> import numpy as np
    >>> corner = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> line = np.array([[0.0], [1.0], [2.0]])
    >>> round(float(RKDAngle()(corner, line)), 4)
    0.5833

    Reference: Park et al. 2019, https://arxiv.org/abs/1904.05068, section 3.2. Deviation: the
    paper sums over the triples; the mean keeps a weight independent of the batch size.
    """

    default_name = "rkd_angle"
    smallest_batch = 3
    is_centred = True

    def compare(self, teacher, student):
        size = ops.shape(teacher)[0]
        difference = _cosines_at_vertices(teacher) - _cosines_at_vertices(student)
        num_pairs = ops.cast((size - 1) * (size - 2), difference.dtype)
        # If an example is the vertex itself, its cosine is 0 in both models.
        return divide(ops.sum(_huber(difference) * others(size), axis=(1, 2)), num_pairs)


@keras.saving.register_keras_serializable(package="keras_distill")
class SimilarityPreserving(RelationLoss):
    """Difference of the similarities between the examples of a batch.

    ```
    G = X X^T, each row divided by its length                        for teacher and student
    loss_i = sum_j (G_ij of the teacher - G_ij of the student)^2 / batch
    ```

    Rotating or scaling the features does not change the loss, and their widths may differ. Time
    and memory grow with the square of the batch.

    Args:
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`, which gives the paper's `|G_t - G_s|^2 / batch^2`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the value; intermediate results are float64. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, ...)`, one vector for each example.
        y_pred: Student features, `(batch, ...)`. Positions that their Keras mask leaves out
            are zeros in both.
        sample_weight: Optional weights, `(batch,)`, of the rows.

    Raises:
        ValueError: If the batches differ, or have fewer than two examples. In a last batch of
            one, whose size is known only at run time, the loss is 0.

    Example:

    >>> import numpy as np
    >>> alike, apart = np.ones((2, 3)), np.eye(2)
    >>> round(float(SimilarityPreserving()(alike, apart)), 4)
    0.2929

    Reference: Tung & Mori 2019, https://arxiv.org/abs/1907.09682. Deviation: a row whose products
    are all 0 has no length and is not divided.
    """

    default_name = "similarity_preserving"

    def compare(self, teacher, student):
        difference = _rows_of_length_one(teacher) - _rows_of_length_one(student)
        return ops.mean(ops.square(difference), axis=-1)


@keras.saving.register_keras_serializable(package="keras_distill")
class CorrelationCongruence(RelationLoss):
    """Difference of the correlations between examples, with a Gaussian kernel.

    ```
    K_ij = exp(-2 gamma) * sum over p = 0 ... order of (2 gamma)^p / p! * cos(x_i, x_j)^p
    loss_i = sum_j (K_ij of the teacher - K_ij of the student)^2 / batch
    ```

    K is the Taylor series of `exp(-gamma |x_i - x_j|^2)` for features of length one. A rotation
    and a scale of the features do not change it, and their widths may differ. Time and memory
    grow with the square of the batch.

    Args:
        gamma: Width of the kernel, a positive float. Defaults to 0.4.
        order: Last power of the series, an integer of 1 or more. Defaults to 2.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the value; intermediate results are float64. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, ...)`, one vector for each example.
        y_pred: Student features, `(batch, ...)`. Positions that their Keras mask leaves out
            are zeros in both.
        sample_weight: Optional weights, `(batch,)`, of the rows.

    Raises:
        ValueError: If an argument is out of range, or the batches differ or have fewer than two
            examples. In a last batch of one, whose size is known only at run time, it is 0.

    Example:

    >>> import numpy as np
    >>> features = np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> round(float(CorrelationCongruence()(features, 3 * features)), 6)
    0.0

    Reference: Peng et al. 2019, https://arxiv.org/abs/1904.01802, with its Gaussian kernel; the
    defaults are the paper's. For the paper's soft targets, use the Distiller's soft loss.
    """

    default_name = "correlation_congruence"

    def __init__(
        self, gamma=0.4, *, order=2, reduction="sum_over_batch_size", name=None, dtype=None
    ):
        gamma = check_positive("gamma", gamma)
        order = check_integer("order", order)
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.gamma, self.order = gamma, order

    def compare(self, teacher, student):
        difference = self._kernel(cosines(teacher)) - self._kernel(cosines(student))
        return ops.mean(ops.square(difference), axis=-1)

    def _kernel(self, similarities):
        # Horner's scheme avoids powers, whose gradient is NaN at 0.
        series = 0.0
        for power in reversed(range(self.order + 1)):
            series = series * similarities + (2 * self.gamma) ** power / math.factorial(power)
        return math.exp(-2 * self.gamma) * series

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma, "order": self.order}


@keras.saving.register_keras_serializable(package="keras_distill")
class ProbabilisticTransfer(RelationLoss):
    """Divergence of the probabilities with which examples pick each other as neighbours (PKT).

    ```
    k_ij = (cos(x_i, x_j) + 1) / 2                                   for teacher and student
    p_ij = k_ij / sum over l != i of k_il
    loss_i = sum over j != i of p_ij of the teacher * log(p_ij of the teacher / of the student)
    ```

    Rotating or scaling the features does not change the loss, and their widths may differ. Time
    and memory grow with the square of the batch.

    Args:
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the value; intermediate results are float64. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, ...)`, one vector for each example.
        y_pred: Student features, `(batch, ...)`. Positions that their Keras mask leaves out
            are zeros in both.
        sample_weight: Optional weights, `(batch,)`, of the examples i.

    Raises:
        ValueError: If the batches differ, or have fewer than three examples: with two, each has
            only one neighbour. In a smaller last batch, whose size is known only at run time,
            the loss is 0.

    Example:

    >>> import numpy as np
    >>> features = np.random.default_rng(0).normal(size=(4, 3))
    >>> round(float(ProbabilisticTransfer()(features, 2 * features)), 6)
    0.0

    Reference: Passalis & Tefas 2018, https://arxiv.org/abs/1803.10837, with its cosine kernel.
    Deviations: the paper sums over i, the mean keeps a weight independent of the batch size; k is
    at least 1e-12, so that opposite vectors have a logarithm.
    """

    default_name = "probabilistic_transfer"
    smallest_batch = 3

    def compare(self, teacher, student):
        log_p, log_q = _log_neighbours(teacher), _log_neighbours(student)
        divergence = ops.exp(log_p) * (log_p - log_q)
        return ops.sum(divergence * others(ops.shape(teacher)[0]), axis=-1)


def _relative_distances(products):
    lengths = distances(products)
    size = ops.cast(ops.shape(lengths)[0], lengths.dtype)
    return divide(lengths, divide(ops.sum(lengths), size * (size - 1)))


def _cosines_at_vertices(products):
    """`(vertex, example, example)`; 0 where an example equals the vertex."""
    squares, lengths = ops.diagonal(products), distances(products)
    from_vertex = products[:, :, None] + products[:, None, :]
    between = products[None, :, :] + squares[:, None, None] - from_vertex
    return divide(between, lengths[:, :, None] * lengths[:, None, :])


def _rows_of_length_one(products):
    return divide(products, safe_sqrt(ops.sum(ops.square(products), axis=-1, keepdims=True)))


def _log_neighbours(products):
    """Log probabilities, `(batch, batch)`; 0 where there is no other example."""
    kernel = ops.maximum((cosines(products) + 1) / 2, _SMALLEST_KERNEL)
    total = ops.sum(kernel * others(ops.shape(kernel)[0]), axis=-1, keepdims=True)
    return ops.log(kernel) - ops.log(ops.where(total == 0, 1.0, total))


def _huber(difference):
    size = ops.abs(difference)
    return ops.where(size <= 1, ops.square(difference) / 2, size - 0.5)
