"""Losses on the ranking of a batch's examples by similarity to one of them (DarkRank)."""

import itertools
import math

import keras
import tensorflow as tf
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_positive
from keras_distill.losses.numerics import divide
from keras_distill.losses.numerics import soft_target_kl
from keras_distill.losses.relations.distances import RelationLoss
from keras_distill.losses.relations.pairs import cosines
from keras_distill.losses.relations.pairs import distances

_LONGEST_LIST = 6
# Score of a missing example, which puts it last in every list.
_LOWEST_SCORE = -1e30


class RankLoss(RelationLoss):
    """A `RelationLoss` on ranks: each example is once the query for which the others are ranked."""

    smallest_batch = 3

    def __init__(
        self, scale=3.0, *, power=3.0, reduction="sum_over_batch_size", name=None, dtype=None
    ):
        scale = check_positive("scale", scale)
        power = check_positive("power", power)
        if power < 1:
            raise ValueError(
                "power must be 1 or more: below, the gradient of equal examples is infinite. "
                f"Received: power={power!r}"
            )
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.scale, self.power = scale, power

    def compare(self, teacher, student):
        return self.compare_ranked(*self._ranked_scores(teacher, student))

    def compare_ranked(self, teacher, student):
        """Values `(batch,)` of scores `(batch, batch - 1)`, in the teacher's order."""
        raise NotImplementedError

    def _ranked_scores(self, teacher, student):
        teacher, student = (
            -self.scale * distances(cosines(products)) ** self.power
            for products in (teacher, student)
        )
        infinity = tf.fill(tf.shape(teacher)[:1], tf.constant(math.inf, teacher.dtype))
        # The query itself comes first. Equal scores keep the order of the batch.
        ranked = tf.argsort(
            tf.linalg.set_diag(teacher, infinity), direction="DESCENDING", stable=True
        )[:, 1:]
        return [tf.gather(scores, ranked, batch_dims=1) for scores in (teacher, student)]

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "power": self.power}


@keras.saving.register_keras_serializable(package="keras_distill")
class HardDarkRank(RankLoss):
    """Negative log likelihood of the teacher's ranking of the examples, under the student.

    ```
    s_qj = -scale * |x_q / |x_q| - x_j / |x_j||^power                for teacher and student
    loss_q = -mean over j != q of log(exp(s_qj) / sum of exp(s_qk) over j and all behind it)
    ```

    "All behind j" are the examples after j in the teacher's order of similarity to the query q; s
    are the student's scores. Each example is the query once. Scaling or rotating the features
    changes nothing, and their widths may differ. The loss is not 0 at student = teacher: it falls
    as the student separates the examples better in this order. Time grows with
    `batch^2 log batch`, memory with the square of the batch.

    Args:
        scale: Factor of the similarities, the paper's alpha, a positive float. Defaults to 3.
        power: Power of the distances, the paper's beta, a float >= 1. Defaults to 3.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the value; intermediate results are float64. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, ...)`, one vector for each example.
        y_pred: Student features, `(batch, ...)`. Positions that a Keras mask leaves out are
            zeros in both.
        sample_weight: Optional weights, `(batch,)`, of the queries. A weight of 0 does not
            take an example out of the others' lists.

    Raises:
        ValueError: If an argument is out of range, the batches differ, or they have fewer than
            three examples. In a smaller last batch, whose size is known only at run time, the
            loss is 0.

    Example:

    >>> import numpy as np
    >>> teacher = np.array([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]])
    >>> round(float(HardDarkRank()(teacher, teacher)), 4)
    0.0153
    >>> round(float(HardDarkRank()(teacher, teacher[[0, 2, 1]])), 4)
    2.8361

    Reference: Chen et al. 2018, https://arxiv.org/abs/1707.01220, hard transfer. Deviations:
    the paper has one query for a batch and a sum over the list; with each example as the
    query a batch gives more information, and the mean keeps a weight independent of the batch
    size. The features are divided by their lengths here; the paper's networks do this themselves.
    """

    default_name = "hard_dark_rank"

    def compare_ranked(self, teacher, student):
        num_others = ops.cast(ops.shape(student)[1], student.dtype)
        return divide(-_log_likelihood(student), num_others)


@keras.saving.register_keras_serializable(package="keras_distill")
class SoftDarkRank(RankLoss):
    """Divergence of the probabilities of all orders of a query's nearest examples.

    ```
    s_qj = -scale * |x_q / |x_q| - x_j / |x_j||^power                for teacher and student
    P_q(order) = product over j in the order of exp(s_qj) / sum of exp(s_qk), j and all behind it
    loss_q = KL(P_q of the teacher || P_q of the student)            over all orders of a list
    ```

    The list of a query q contains the `list_length` examples that are most similar to it in the
    teacher; each example is the query once. Scaling or rotating the features changes
    nothing, and their widths may differ. Memory grows with `batch * list_length!`, and the
    square of the batch.

    Args:
        scale: Factor of the similarities, the paper's alpha, a positive float. Defaults to 3.
        power: Power of the distances, the paper's beta, a float >= 1. Defaults to 3.
        list_length: Examples in a list, an integer from 2 to 6; a smaller batch has all others in
            its lists. Defaults to 4, which has 24 orders.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the value; intermediate results are float64. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, ...)`, one vector for each example.
        y_pred: Student features, `(batch, ...)`. Positions that a Keras mask leaves out are
            zeros in both.
        sample_weight: Optional weights, `(batch,)`, of the queries. A weight of 0 does not
            take an example out of the others' lists.

    Raises:
        ValueError: If an argument is out of range, the batches differ, or they have fewer than
            three examples. In a smaller last batch, whose size is known only at run time, the
            loss is 0.

    Example:

    >>> import numpy as np
    >>> teacher = np.array([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]])
    >>> round(float(SoftDarkRank()(teacher, 2 * teacher)), 4)
    0.0
    >>> round(float(SoftDarkRank()(teacher, teacher[[0, 2, 1]])), 4)
    5.3927

    Reference: Chen et al. 2018, https://arxiv.org/abs/1707.01220, soft transfer. Deviations:
    the paper has one query for a batch, with all other examples in the list; here each
    example is the query, with a short list of its neighbours, since n examples have n! orders.
    The features are divided by their lengths here; the paper's networks do this
    themselves. The divergence is from the teacher's orders to the student's, as in the authors'
    code.
    """

    default_name = "soft_dark_rank"

    def __init__(
        self,
        scale=3.0,
        *,
        power=3.0,
        list_length=4,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        list_length = check_integer("list_length", list_length, minimum=2)
        if list_length > _LONGEST_LIST:
            raise ValueError(
                f"list_length must be at most {_LONGEST_LIST}: a list of n examples has n! "
                f"orders. Received: list_length={list_length}. Use HardDarkRank for long lists."
            )
        super().__init__(scale, power=power, reduction=reduction, name=name, dtype=dtype)
        self.list_length = list_length

    def compare_ranked(self, teacher, student):
        orders = list(itertools.permutations(range(self.list_length)))
        log_probabilities = [
            _log_likelihood(tf.gather(self._list(scores), orders, axis=1))
            for scores in (teacher, student)
        ]
        return soft_target_kl(*log_probabilities, temperature=1.0)

    def _list(self, scores):
        """The first `list_length` scores, padded for a batch with fewer examples."""
        padding = [[0, 0], [0, self.list_length]]
        return tf.pad(scores, padding, constant_values=_LOWEST_SCORE)[:, : self.list_length]

    def get_config(self):
        return {**super().get_config(), "list_length": self.list_length}


def _log_likelihood(scores):
    """Log likelihood of the order of scores on the last axis: the first is drawn first."""
    of_those_left = tf.math.cumulative_logsumexp(scores, axis=-1, reverse=True)
    return ops.sum(scores - of_those_left, axis=-1)
