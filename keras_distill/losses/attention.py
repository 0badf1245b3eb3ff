"""Losses between the attention of two transformers."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill._keras.masks import keras_mask
from keras_distill._keras.masks import set_keras_mask
from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.base import shapes_agree
from keras_distill.losses.base import with_shape_of
from keras_distill.losses.numerics import soft_target_kl

# Log attention to padding, far below the log attention to any token.
_MASKED = -1e30


class AttentionLoss(DistillationLoss):
    """A `DistillationLoss` between attention probabilities, with a value for each query."""

    same_shapes = False
    values_rank = 2

    def __init__(self, *, reduction="sum_over_batch_size", name=None, dtype=None):
        super().__init__(name=name or self.default_name, reduction=reduction, dtype=dtype)

    def __call__(self, y_true, y_pred, sample_weight=None):
        mask = keras_mask(y_pred)
        if mask is not None and len(mask.shape) == 3:
            # A tap's mask is (batch, heads, queries), the same for each head.
            y_pred = tf.identity(y_pred)
            set_keras_mask(y_pred, mask[:, 0])
        return super().__call__(y_true, y_pred, sample_weight)

    def check_shapes(self, teacher_shape, student_shape):
        if len(student_shape) == 4 and shapes_agree(teacher_shape, student_shape):
            return
        raise ValueError(
            f"{type(self).__name__} compares attention scores of one shape, (batch, heads, "
            f"queries, keys). Received: teacher {teacher_shape}, student {student_shape}. Tap "
            '".../attention_scores" of layers with as many heads that read the same tokens; for '
            "other numbers of heads use AttentionRelationKL(num_relation_heads=...)."
        )

    def call(self, y_true, y_pred):
        if None in y_true.shape:
            y_true = with_shape_of(y_pred, y_true)
        return ops.cast(ops.mean(self.compare(y_true, y_pred), axis=1), self.dtype)

    def compare(self, teacher, student):
        """Unreduced values, `(batch, heads, queries)`."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="keras_distill")
class AttentionMSE(AttentionLoss):
    """Squared difference of the attention probabilities of two transformers.

    ```
    loss = mean_heads sum_keys (teacher - student)^2                    for each query
    ```

    The loss is from 0 to 2. Padding keys have no attention in either model, so they add nothing.

    Args:
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Teacher probabilities, `(batch, heads, queries, keys)`, from the tap
            ".../attention_scores".
        y_pred: Student probabilities of the same shape. Their Keras mask of the queries,
            which the tap has if the model masks padding, is applied.
        sample_weight: Optional weights, `(batch, queries)`.

    Raises:
        ValueError: If the shapes differ. Nothing is broadcast.

    Example:

    >>> import numpy as np
    >>> teacher = np.array([[[[1.0, 0.0]]]])  # 1 head, 1 query, 2 keys
    >>> float(AttentionMSE()(teacher, np.array([[[[0.5, 0.5]]]])))
    0.5

    Reference: Jiao et al. 2020, TinyBERT, https://arxiv.org/abs/1909.10351, eq. 7.
    Deviations: the paper compares the scores before the softmax, which Keras does not return;
    the sum over the keys, instead of their mean, keeps the weight of an objective independent of
    the length; padding queries do not count.
    """

    default_name = "attention_mse"

    def compare(self, teacher, student):
        return ops.sum(ops.square(teacher - student), axis=-1)


@keras.saving.register_keras_serializable(package="keras_distill")
class AttentionKL(AttentionLoss):
    """Divergence of the attention probabilities of two transformers.

    ```
    loss = mean_heads sum_keys teacher * log(teacher / student)         for each query
    ```

    Each row of probabilities is divided by its sum. A probability that underflowed to 0 is treated
    as the smallest float, and the student gets no gradient there. In a float16 student,
    probabilities below 6e-5 get none: their gradient, teacher / student, would overflow.

    Args:
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of inputs and value; intermediate results are float64. Defaults to float32.

    Call arguments:
        y_true: Teacher probabilities, `(batch, heads, queries, keys)`, from the tap
            ".../attention_scores".
        y_pred: Student probabilities of the same shape. Their Keras mask of the queries,
            which the tap has if the model masks padding, is applied.
        sample_weight: Optional weights, `(batch, queries)`.

    Raises:
        ValueError: If the shapes differ. Nothing is broadcast.

    Example:

    >>> import numpy as np
    >>> teacher = np.array([[[[1.0, 0.0]]]])  # 1 head, 1 query, 2 keys
    >>> round(float(AttentionKL()(teacher, np.array([[[[0.5, 0.5]]]]))), 4)
    0.6931

    Reference: Wang et al. 2020, MiniLM, https://arxiv.org/abs/2002.10957, eq. 7, which the paper
    applies to the last layers. Deviation: padding queries do not count.
    """

    default_name = "attention_kl"

    def __call__(self, y_true, y_pred, sample_weight=None):
        if keras.backend.standardize_dtype(getattr(y_pred, "dtype", self.dtype)) == "float16":
            mask, is_small = keras_mask(y_pred), y_pred < np.finfo("float16").tiny
            y_pred = ops.where(is_small, ops.stop_gradient(y_pred), y_pred)
            set_keras_mask(y_pred, mask)
        return super().__call__(y_true, y_pred, sample_weight)

    def compare(self, teacher, student):
        # Logarithms are float64, like the next steps, so that their softmax restores the ratios.
        tiny = np.finfo(self.dtype).tiny
        logits = [
            ops.log(ops.cast(ops.maximum(scores, tiny), "float64")) for scores in (teacher, student)
        ]
        return soft_target_kl(*logits, 1.0)


@keras.saving.register_keras_serializable(package="keras_distill")
class AttentionRelationKL(DistillationLoss):
    """Divergence of the relations between the values (or queries, or keys) of two transformers.

    ```
    R_h  = softmax_keys(V_h V_h' / sqrt(head width))          V_h: (length, head width) of head h
    loss = mean_heads sum_keys R_h teacher * log(R_h teacher / R_h student)    for each token
    ```

    The size of the relations depends only on the length of the text, so the widths may differ. If
    two transformers have different numbers of heads, `num_relation_heads` concatenates the heads
    and splits them into this number. Tokens that the student's Keras mask leaves out
    count neither as tokens nor as keys.

    Args:
        num_relation_heads: Number of heads to compare, a divisor of both models' heads times
            their width. Defaults to the models' own heads; both must have the same number.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of inputs and value; intermediate results are float64. Defaults to float32.

    Call arguments:
        y_true: The teacher's values, `(batch, length, heads, head width)`, from the tap
            ".../value" of a `keras.layers.MultiHeadAttention`; or ".../query" or ".../key".
        y_pred: The student's values, with the same batch and length. Their Keras mask, which the
            tap has if the model masks padding, is applied.
        sample_weight: Optional weights, `(batch, length)`.

    Raises:
        ValueError: If num_relation_heads is out of range or does not divide, or the batches,
            lengths or heads differ.

    Example:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> teacher = rng.normal(size=(1, 5, 2, 8))  # 5 tokens, 2 heads of 8
    >>> float(AttentionRelationKL()(teacher, -teacher))  # only the products matter
    0.0
    >>> student = rng.normal(size=(1, 5, 3, 4))
    >>> AttentionRelationKL(num_relation_heads=4)(teacher, student).shape
    TensorShape([])

    Reference: Wang et al. 2020, MiniLM, https://arxiv.org/abs/2002.10957, eq. 8-10, on the
    values of the last layers; 2021, MiniLMv2, https://arxiv.org/abs/2012.15828, eq. 4-6, on
    queries, keys and values, with an objective for each. Deviations: padding counts neither as
    tokens nor as keys.
    """

    same_shapes = False
    values_rank = 2
    # The student's mask for the batch that is being compared.
    token_mask = None

    def __init__(
        self,
        num_relation_heads=None,
        *,
        reduction="sum_over_batch_size",
        name="attention_relation_kl",
        dtype=None,
    ):
        num_relation_heads = check_integer("num_relation_heads", num_relation_heads, optional=True)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.num_relation_heads = num_relation_heads

    def __call__(self, y_true, y_pred, sample_weight=None):
        of_batch = self.with_settings(token_mask=keras_mask(y_pred))
        return super(AttentionRelationKL, of_batch).__call__(y_true, y_pred, sample_weight)

    def check_shapes(self, teacher_shape, student_shape):
        shapes = f"Received: teacher {teacher_shape}, student {student_shape}."
        is_pair = len(teacher_shape) == len(student_shape) == 4
        if not (is_pair and shapes_agree(teacher_shape[:2], student_shape[:2])):
            raise ValueError(
                f"{type(self).__name__} compares relations of the same tokens, (batch, length, "
                f'heads, head width). {shapes} Tap ".../value", ".../query" or ".../key" of '
                "attention layers that read the same tokens."
            )
        if self.num_relation_heads is None:
            if teacher_shape[2] != student_shape[2]:
                raise ValueError(
                    f"{type(self).__name__} needs as many heads in both models. {shapes} Give "
                    "num_relation_heads, a divisor of heads * head width of both."
                )
        elif any(s[2] * s[3] % self.num_relation_heads for s in (teacher_shape, student_shape)):
            raise ValueError(
                "num_relation_heads must divide heads * head width of both models. Received: "
                f"num_relation_heads={self.num_relation_heads}, teacher {teacher_shape}, student "
                f"{student_shape}."
            )

    def call(self, y_true, y_pred):
        teacher, student = self._relations(y_true), self._relations(y_pred)
        divergences = soft_target_kl(with_shape_of(student, teacher), student, 1.0)
        return ops.cast(ops.mean(divergences, axis=1), self.dtype)

    def _relations(self, values):
        """Logits of the relations, `(batch, heads, length, length)` in float64."""
        values = ops.cast(values, "float64")
        if self.num_relation_heads is not None:
            width = values.shape[2] * values.shape[3] // self.num_relation_heads
            sizes = ops.shape(values)
            values = ops.reshape(values, (*sizes[:2], self.num_relation_heads, width))
        relations = ops.einsum("bqhd,bkhd->bhqk", values, values) / values.shape[-1] ** 0.5
        if self.token_mask is None:
            return relations
        is_token = ops.cast(self.token_mask, "bool")[:, None, None]
        return ops.where(is_token, relations, ops.full_like(relations, _MASKED))

    def get_config(self):
        return {**super().get_config(), "num_relation_heads": self.num_relation_heads}
