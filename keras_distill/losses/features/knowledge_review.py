"""Knowledge review: compares each student stage, fused with deeper ones, with the teacher's."""

import keras
import numpy as np
from keras import layers
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill.losses.base import DistillationLoss

# Sides of the pooled features, which are compared in addition to the whole features.
_LEVELS = (4, 2, 1)


@keras.saving.register_keras_serializable(package="keras_distill")
class KnowledgeReview(DistillationLoss):
    """Difference of several stages, where a student's shallow stage also sees the deeper ones.

    ```
    x_k = conv1x1(student_k)                                    the deepest stage first
    x_k = a * x_k + b * x_(k+1),  a, b = sigmoid(conv1x1([x_k, x_(k+1)]))     if there is a deeper
    fused_k = conv3x3(x_k)
    loss = sum over stages k of hcl(teacher_k, fused_k)
    hcl = (mse + mse_4 / 2 + mse_2 / 4 + mse_1 / 8) / (1 + 1/2 + 1/4 + 1/8)
    ```

    mse_l is the mean squared difference of both features averaged to l x l fields; levels that are
    not smaller than the features are left out of both sums. A batch normalisation follows
    conv1x1(student_k) and conv3x3. All these layers train with the student.

    Args:
        mid_channels: Width of x_k, an integer of 1 or more. None (default) means the width of
            the deepest student stage, at most 512, as in the authors' code.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation and of the layers. Defaults to float32.

    Call arguments:
        y_true: List of teacher features from shallow to deep, each `(batch, height, width,
            channels)`, or `(batch, features)` for a feature that is pooled to 1 x 1.
        y_pred: List of as many student features. Their widths and sizes may differ from the
            teacher's: x_k is resized to the teacher's size, by the nearest neighbour.
        sample_weight: Optional weights, `(batch,)`.

    Raises:
        ValueError: If mid_channels is out of range; if the lists differ in length, or a feature
            does not have two or four axes, or has an unknown size other than the batch size.

    Example:

    ```python
    kd.Objective(
        kd.losses.KnowledgeReview(),
        teacher_layer=["block_1", "block_2", "block_3", "pooled"],
        student_layer=["stage_1", "stage_2", "stage_3", "pooled"],
    )
    ```

    >>> import numpy as np
    >>> loss = KnowledgeReview(reduction=None)
    >>> teacher = [np.ones((2, 8, 8, 6)), np.ones((2, 4, 4, 9))]
    >>> student = [np.ones((2, 8, 8, 3)), np.ones((2, 4, 4, 5))]
    >>> loss(teacher, student).shape
    TensorShape([2])

    Reference: Chen P. et al. 2021, https://arxiv.org/abs/2104.09044, section 3. The architecture
    and the weights of the levels are those of the authors' code. Deviations: there the weight of
    the loss also rises over the first 20 epochs; for this, give the objective a schedule as its
    weight. In features that are not square, a level counts if it is smaller than both sides.
    """

    same_shapes = False
    takes_lists = True
    takes_masks = False
    values_rank = 1
    needs = ("training",)

    def __init__(
        self,
        mid_channels=None,
        *,
        reduction="sum_over_batch_size",
        name="knowledge_review",
        dtype=None,
    ):
        mid_channels = check_integer("mid_channels", mid_channels, optional=True)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.mid_channels = mid_channels
        self.review = _Review(mid_channels, dtype=self.dtype)

    def check_shapes(self, teacher_shape, student_shape):
        if not teacher_shape or len(teacher_shape) != len(student_shape):
            raise ValueError(
                "KnowledgeReview compares as many stages of the teacher as of the student, from "
                f"shallow to deep. Received: {len(teacher_shape)} of the teacher, "
                f"{len(student_shape)} of the student."
            )
        for shape in (*teacher_shape, *student_shape):
            if len(shape) not in (2, 4) or None in shape[1:]:
                raise ValueError(
                    "KnowledgeReview compares features (batch, height, width, channels) or (batch, "
                    f"features), whose sizes are known. Received: {shape}. Give the models inputs "
                    "of one size."
                )

    def call(self, y_true, y_pred):
        teacher, student = ([_image(z) for z in side] for side in (y_true, y_pred))
        fused = self.review(student, teacher, training=self.training)
        return sum(map(_hierarchical_context, teacher, fused))

    def get_config(self):
        return {**super().get_config(), "mid_channels": self.mid_channels}


class _Review(layers.Layer):
    """The student's stages, each fused with the deeper ones, in the teacher's shapes."""

    def __init__(self, mid_channels, dtype):
        super().__init__(dtype=dtype, name="review")
        self.mid_channels = mid_channels

    def build(self, student_shape, teacher_shape):
        inputs = [keras.Input(shape[1:], dtype=self.dtype) for shape in student_shape]
        mid_channels = self.mid_channels or min(512, student_shape[-1][-1])
        outputs, deeper = [], None
        for features, shape in zip(reversed(inputs), reversed(teacher_shape)):
            reviewed = self._convolved(features, mid_channels, 1)
            if deeper is not None:
                reviewed = self._fused(reviewed, _resized(deeper, reviewed.shape))
            deeper = _resized(reviewed, shape)
            outputs.insert(0, self._convolved(deeper, shape[-1], 3))
        self.network = keras.Model(inputs, outputs, name="network")

    def call(self, student, teacher, training=False):
        # A model with one output returns it without a list.
        return keras.tree.flatten(self.network(student, training=training))

    def _convolved(self, features, width, size):
        convolution = layers.Conv2D(
            width,
            size,
            padding="same",
            use_bias=False,
            # The authors' code has this initializer (Kaiming with a = 1).
            kernel_initializer="lecun_uniform",
            data_format="channels_last",
            dtype=self.dtype_policy,
        )
        # The authors' code has these defaults of PyTorch.
        norm = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=self.dtype_policy)
        return norm(convolution(features))

    def _fused(self, features, deeper):
        attention = layers.Conv2D(
            2, 1, activation="sigmoid", data_format="channels_last", dtype=self.dtype_policy
        )
        weights = attention(ops.concatenate([features, deeper], axis=-1))
        return features * weights[..., :1] + deeper * weights[..., 1:]


def _image(features):
    return features if len(features.shape) == 4 else features[:, None, None, :]


def _resized(features, shape):
    """Nearest neighbours as in PyTorch; ops.image.resize is shifted by half a pixel."""
    for axis in (1, 2):
        old, new = features.shape[axis], shape[axis]
        if old != new:
            features = ops.take(features, np.arange(new) * old // new, axis=axis)
    return features


def _hierarchical_context(teacher, student):
    levels = [side for side in _LEVELS if side < min(teacher.shape[1:3])]
    total, weight, weights = _mse(teacher, student), 1.0, 1.0
    for side in levels:
        weight /= 2
        weights += weight
        total += weight * _mse(_pooled(teacher, side), _pooled(student, side))
    return total / weights


def _pooled(features, side):
    """Means of side x side fields that overlap if the sides do not divide the features'.

    Keras 3.15's ops.adaptive_average_pool fails in a graph if they do divide them.
    """
    rows, columns = (_fields(size, side, features.dtype) for size in features.shape[1:3])
    return ops.einsum("bhwc,ih,jw->bijc", features, rows, columns)


def _fields(size, num_fields, dtype):
    """A matrix that takes the mean of each field, `(num_fields, size)`."""
    index, field = np.arange(size), np.arange(num_fields)[:, None]
    start, stop = field * size // num_fields, -(-(field + 1) * size // num_fields)
    is_inside = (start <= index) & (index < stop)
    return ops.convert_to_tensor(is_inside / (stop - start), dtype)


def _mse(teacher, student):
    return ops.mean(ops.square(teacher - student), axis=(1, 2, 3))
