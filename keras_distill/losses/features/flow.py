"""Flow of the solution procedure (FSP): how features change from one layer to a later one."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.base import shapes_agree
from keras_distill.losses.base import with_shape_of


@keras.saving.register_keras_serializable(package="keras_distill")
class FSP(DistillationLoss):
    """Difference of FSP matrices, the flow between two layers, such as a block's first and last.

    ```
    G_ij = mean over positions of first_i * last_j             for teacher and student
    loss = mean over i, j of (G_ij of the teacher - G_ij of the student)^2
    ```

    first_i and last_j are channels of two feature maps of one model. If these differ in height
    or width, the larger is max-pooled to the size of the smaller. Teacher and student need the
    same numbers of channels, not the same sizes. The loss does not change if the positions of both
    maps of a model are reordered alike, or if one map is multiplied and the other divided by a
    factor.

    Args:
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: List of the teacher's two feature maps, `(batch, height, width, channels)` each,
            of known height, width and channels.
        y_pred: List of the student's two feature maps, in the same form.
        sample_weight: Optional weights, `(batch,)`.

    Raises:
        ValueError: If there are not two feature maps on each side, or teacher and student differ
            in their channels; if the student's feature maps have a Keras mask.

    Example: each block has its own objective and weight.

    ```python
    kd.Objective(
        kd.losses.FSP(),
        teacher_layer=["block_1/first", "block_1/last"],
        student_layer=["block_1/first", "block_1/last"],
    )
    ```

    >>> import numpy as np
    >>> first, last = np.ones((1, 4, 4, 2)), np.ones((1, 2, 2, 3))
    >>> float(FSP()([first, last], [first, 3 * last]))
    4.0

    Reference: Yim et al. 2017, A Gift from Knowledge Distillation, section 3, equations 1 and 2,
    https://openaccess.thecvf.com/content_cvpr_2017/html/Yim_A_Gift_From_CVPR_2017_paper.html.
    Deviations: the paper has the squared norm, the sum over i and j; the mean keeps a weight
    independent of the numbers of channels. The paper trains with this loss first and with the
    labels afterwards; an Objective does both at once. Sizes that are not multiples of each other
    are pooled over overlapping windows.
    """

    same_shapes = False
    takes_lists = True
    takes_masks = False
    values_rank = 1

    def __init__(self, *, reduction="sum_over_batch_size", name="fsp", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def check_shapes(self, teacher_shape, student_shape):
        are_maps = all(
            len(shapes) == 2 and all(len(s) == 4 and None not in s[1:] for s in shapes)
            for shapes in (teacher_shape, student_shape)
        )
        if not are_maps:
            raise ValueError(
                "FSP compares two layers of each model: lists of two feature maps, (batch, "
                "height, width, channels), of known sizes. Received: teacher "
                f"{teacher_shape}, student {student_shape}. Give two paths to such layers."
            )
        for teacher, student in zip(teacher_shape, student_shape):
            if not shapes_agree((teacher[0], teacher[-1]), (student[0], student[-1])):
                raise ValueError(
                    "FSP needs the same number of channels in the layers of teacher and student. "
                    f"Received: teacher {teacher_shape}, student {student_shape}. Tap layers of "
                    "one width, or use a loss that takes a projector."
                )

    def call(self, y_true, y_pred):
        student = _flow(*y_pred)
        teacher = with_shape_of(student, _flow(*y_true))
        return ops.mean(ops.square(teacher - student), axis=(1, 2))


def _flow(first, last):
    """The FSP matrices, `(batch, channels of first, channels of last)`."""
    size = [min(sizes) for sizes in zip(first.shape[1:3], last.shape[1:3])]
    first, last = (_pooled(features, size) for features in (first, last))
    return ops.einsum("bpi,bpj->bij", first, last) / (size[0] * size[1])


def _pooled(features, size):
    # Keras 3.15's ops.adaptive_max_pool crashes the process when it pools to 1x1.
    for axis, pooled_size in enumerate(size, start=1):
        if features.shape[axis] != pooled_size:
            windows = _windows(features.shape[axis], pooled_size)
            # ops.max refuses an empty batch.
            features = tf.reduce_max(ops.take(features, windows, axis=axis), axis=axis + 1)
    return ops.reshape(features, (-1, size[0] * size[1], features.shape[-1]))


def _windows(size, pooled_size):
    """The positions that each pooled position covers, as rows; short rows repeat the last."""
    steps = np.arange(pooled_size)
    first, end = steps * size // pooled_size, -(-(steps + 1) * size // pooled_size)
    return np.minimum(first[:, None] + np.arange(max(end - first)), end[:, None] - 1)
