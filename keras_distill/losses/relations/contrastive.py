"""Contrastive representation distillation (CRD): embeddings that identify their example."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_positive
from keras_distill._arguments.checks import check_rate
from keras_distill._arguments.checks import check_seed
from keras_distill.losses.relations.memory import EmbeddingMemory
from keras_distill.losses.relations.memory import NegativeSampler
from keras_distill.losses.relations.per_example import PerExampleLoss


@keras.saving.register_keras_serializable(package="keras_distill")
class CRD(PerExampleLoss):
    """Contrastive representation distillation (CRD): embeddings of one example must match.

    Each model's features are embedded by a trained layer, and both embeddings of every
    example are kept in a memory. The loss is that of a classifier that distinguishes pairs of the
    same example (teacher and student) from pairs of two examples, in both directions:

    ```
    s_i, t_i  = W x_i + b of length one                      of the student, of the teacher
    p(v, u)   = exp(<v, u> / temperature) / Z                u: remembered, of the other model
    h(v, u)   = p(v, u) / (p(v, u) + num_negatives / num_examples)
    loss_i    = - log h(s_i, t'_i) - sum over negatives k of log(1 - h(s_i, t'_k))
                - log h(t_i, s'_i) - sum over negatives k of log(1 - h(t_i, s'_k))
    t'_i     <- momentum * t'_i + (1 - momentum) * t_i, then of length one; s'_i likewise
    ```

    Z is num_examples times the mean of exp(...) over the first training batch, and then stays
    fixed. The value begins near `2 * (log(num_negatives + 1) + 1)`; the authors' weight is 0.8.

    Each batch must carry the indices of its examples: see `keras_distill.data.with_example_index`.
    Memories, Z and random state are saved with the Distiller. They change in training only.
    Validation batches need indices into the same data set; leave `validate_with_teacher` off if
    they have none.

    With several devices (`MirroredStrategy`), each has the whole memory, and the new embeddings of
    all devices are gathered, so that the memories stay equal.

    Args:
        num_examples: Number of examples in the transfer set, an integer of 2 or more. The
            memories are two float32 arrays `(num_examples, feature_dim)`.
        feature_dim: Width of the embeddings. Defaults to 128.
        num_negatives: Number of negatives for each example. Time and memory of a step grow with
            batch * num_negatives * feature_dim. Defaults to 1024.
        temperature: A positive float. Defaults to 0.07.
        momentum: Share of the remembered embedding that is kept when its example comes again, in
            [0, 1). Defaults to 0.5.
        labels: Classes of all the examples, `(num_examples,)` integers in the order of the
            indices: negatives then have other classes only. They are saved in the configuration.
            Defaults to None: any other example can be a negative.
        seed: Integer seed of the negatives, or None for one that Keras draws. Defaults to 0.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation, the layers' too. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, ...)`, one vector of fixed size for each example.
        y_pred: Student features, `(batch, ...)`, of any fixed size. Positions that their Keras
            mask leaves out are zeros in both.
        sample_weight: Optional weights, `(batch,)`, of the examples.

    Raises:
        ValueError: If an argument is out of range, the features have no fixed size, or the
            batch carries no example indices or one outside of num_examples. (If this is found
            only in a later step, TensorFlow raises an `InvalidArgumentError`.)

    Example:

    ```python
    examples = tf.data.Dataset.from_tensor_slices((x_train, y_train))
    dataset = kd.data.with_example_index(examples).shuffle(10_000).batch(64)
    crd = kd.losses.CRD(num_examples=len(x_train), labels=y_train)
    objective = kd.Objective(crd, teacher_layer="pooled", student_layer="pooled", weight=0.8)
    ```

    >>> import numpy as np
    >>> loss = CRD(num_examples=10, num_negatives=4, seed=0)
    >>> loss = loss.for_batch(example_index=np.array([3, 7]), training=True)
    >>> loss(np.ones((2, 8)), np.ones((2, 5))).shape
    TensorShape([])

    Reference: Tian et al. 2020, https://arxiv.org/abs/1910.10699, with the memory of the
    authors' code. Deviations: negatives are drawn with replacement, 1024 of them instead of
    16384, which small data sets do not have; without labels they are any other examples; no 1e-7
    is added to the denominators of h, as the logarithms are computed without them; an embedding of
    zeros, which features of zeros have at first, has no direction: it stays and gets no gradient.
    """

    needs = ("example_index", "training")

    def __init__(
        self,
        num_examples,
        *,
        feature_dim=128,
        num_negatives=1024,
        temperature=0.07,
        momentum=0.5,
        labels=None,
        seed=0,
        reduction="sum_over_batch_size",
        name="crd",
        dtype=None,
    ):
        num_examples = check_integer("num_examples", num_examples, minimum=2)
        feature_dim = check_integer("feature_dim", feature_dim)
        num_negatives = check_integer("num_negatives", num_negatives)
        temperature = check_positive("temperature", temperature)
        momentum = check_rate("momentum", momentum, with_one=False)
        seed = check_seed("seed", seed, optional=True)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.num_examples = num_examples
        self.feature_dim = feature_dim
        self.num_negatives = num_negatives
        self.temperature = temperature
        self.momentum = momentum
        self.classes = None if labels is None else _checked_labels(labels, num_examples)
        self.seed = seed
        self.teacher_memory, self.student_memory = (
            EmbeddingMemory(num_examples, feature_dim, momentum, dtype=self.dtype, name=side)
            for side in ("teacher_memory", "student_memory")
        )
        classes = np.arange(num_examples) if labels is None else self.classes
        self.negatives = NegativeSampler(num_negatives, classes, seed, dtype=self.dtype)

    def check_shapes(self, teacher_shape, student_shape):
        super().check_shapes(teacher_shape, student_shape)
        if None in (*teacher_shape[1:], *student_shape[1:]):
            raise ValueError(
                "CRD embeds features of a fixed size. "
                f"Received: teacher {teacher_shape}, student {student_shape}. "
                "Tap a layer behind the pooling."
            )

    def call(self, y_true, y_pred):
        index = self._checked_index()
        teacher, student = self.teacher_memory(y_true), self.student_memory(y_pred)
        candidates = ops.concatenate([index[:, None], self.negatives(index)], axis=1)
        value = 0.0
        for embeddings, memory in ((student, self.teacher_memory), (teacher, self.student_memory)):
            log_p = memory.log_likelihoods(embeddings, candidates, self.temperature, self.training)
            value = value + self._contrast(log_p)
        if self.training:
            self.teacher_memory.remember(index, ops.stop_gradient(teacher))
            self.student_memory.remember(index, ops.stop_gradient(student))
        return value

    def _contrast(self, log_p):
        """Minus the log likelihood that the first candidate is the pair, and no other one is."""
        log_odds = log_p - np.log(self.num_negatives / self.num_examples)
        negatives = ops.sum(ops.softplus(log_odds[:, 1:]), axis=-1)
        return ops.softplus(-log_odds[:, 0]) + negatives

    def _checked_index(self):
        if self.example_index is None:
            raise ValueError(
                "CRD needs the number of each example in its data set. Received: "
                "example_index=None. Outside of a Distiller call "
                "loss.for_batch(example_index=..., training=...)(teacher, student)."
            )
        index = ops.convert_to_tensor(self.example_index)
        if len(index.shape) != 1 or not tf.as_dtype(index.dtype).is_integer:
            raise ValueError(
                "example_index must be one integer for each example, (batch,). Received: shape "
                f"{tuple(index.shape)}, dtype {index.dtype}."
            )
        return self._within_the_data_set(index)

    def _within_the_data_set(self, index):
        is_outside = ops.logical_or(index < 0, index >= self.num_examples)
        message = f"example_index must be from 0 to {self.num_examples - 1}, below num_examples."
        if tf.executing_eagerly() and (outside := index[is_outside].numpy().tolist()):
            raise ValueError(f"{message} Received: {outside[:5]}.")
        # In a graph the check happens at run time. XLA drops assertions.
        passed = tf.debugging.Assert(ops.logical_not(ops.any(is_outside)), [message, index])
        with tf.control_dependencies([] if passed is None else [passed]):
            return ops.cast(index, "int32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_examples": self.num_examples,
            "feature_dim": self.feature_dim,
            "num_negatives": self.num_negatives,
            "temperature": self.temperature,
            "momentum": self.momentum,
            "labels": None if self.classes is None else self.classes.tolist(),
            "seed": self.seed,
        }


def _checked_labels(labels, num_examples):
    labels = np.asarray(labels)
    is_integer = np.issubdtype(labels.dtype, np.integer)
    if not is_integer or labels.shape != (num_examples,) or len(np.unique(labels)) < 2:
        raise ValueError(
            "labels must be the integer class of each example, (num_examples,), of at least two "
            f"classes. Received: shape {labels.shape}, dtype {labels.dtype}, "
            f"num_examples={num_examples}."
        )
    return labels
