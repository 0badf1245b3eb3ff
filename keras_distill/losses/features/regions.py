"""Feature imitation in regions: the parts of a feature map that contain objects."""

import keras
from keras import ops

from keras_distill._arguments.checks import check_image_size
from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.base import shapes_agree

FORMATS = ("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw")


@keras.saving.register_keras_serializable(package="keras_distill")
class RegionMSE(DistillationLoss):
    """Mean squared difference of two feature maps inside boxes.

    ```
    loss = mean_boxes mean_(cells that the box touches) mean_features (teacher - student)^2
    ```

    Most of an image is background, on which a hint for the whole map would waste the student's
    capacity. All boxes have the same weight, whatever their size; a cell in several boxes counts
    for each. A cell is the part of the image at one position of the map: `1 / height` by
    `1 / width` of it. The loss of an image without boxes is 0. A box without area is padding, and
    parts outside of the image are cut off.

    Args:
        bounding_box_format: Format of the boxes, as in Keras: "xyxy", "yxyx", "xywh",
            "center_xywh" or "center_yxhw", in pixels; with the prefix "rel_", relative to the
            image's size. Defaults to "rel_xyxy".
        image_size: Height and width of the images in pixels, a pair of integers; only for boxes
            in pixels. Defaults to None.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, height, width, features)`.
        y_pred: Student features of the same shape.
        sample_weight: Optional weights, `(batch,)`.

    The boxes, `(batch, boxes, 4)`, are the labels of the batch. If y is something else, give
    `DistillationInputs(images, labels=boxes)`; outside of a Distiller, use
    `loss.for_batch(labels=boxes)`.

    Raises:
        ValueError: If the format is not known, an image size is missing or not needed, the features
            are not maps of the same shape, or the boxes have another shape.

    Example:

    >>> import numpy as np
    >>> teacher, student = np.zeros((1, 4, 4, 8)), np.zeros((1, 4, 4, 8))
    >>> student[0, 0, 0], student[0, 3, 3] = 1, 100
    >>> loss = RegionMSE().for_batch(labels=np.array([[[0.0, 0.0, 0.5, 0.5]]]))
    >>> float(loss(teacher, student))  # One of the four cells in the box.
    0.25

    Reference: Li et al. 2017, eq. 3 and 4 of
    https://openaccess.thecvf.com/content_cvpr_2017/html/Li_Mimicking_Very_Efficient_CVPR_2017_paper.html
    The paper's layer between the two maps is `Objective(projector="auto")`. Deviations: the regions
    are the given boxes, not the detector's proposals; their cells are compared one by one, not
    pooled to one size; the paper has half the squared norm.
    """

    needs = ("labels",)
    values_rank = 1
    axes = "(batch, height, width, features)"

    def __init__(
        self,
        bounding_box_format="rel_xyxy",
        *,
        image_size=None,
        reduction="sum_over_batch_size",
        name="region_mse",
        dtype=None,
    ):
        image_size = _check_format(bounding_box_format, image_size)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.bounding_box_format = bounding_box_format
        self.image_size = image_size

    def check_shapes(self, teacher_shape, student_shape):
        super().check_shapes(teacher_shape, student_shape)
        if len(student_shape) != 4:
            raise ValueError(
                "RegionMSE compares feature maps, (batch, height, width, features). Received: "
                f"{student_shape}. Tap a layer before the maps are pooled or flattened."
            )

    def call(self, y_true, y_pred):
        differences = ops.mean(ops.square(y_true - y_pred), axis=-1)
        left, top, right, bottom = ops.unstack(self._corners(y_pred), 4, axis=-1)
        image_height, image_width = self.image_size or (1, 1)
        num_rows, num_columns = ops.shape(differences)[1:]
        rows = _touched(top, bottom, image_height, num_rows)
        columns = _touched(left, right, image_width, num_columns)
        sums = ops.einsum("bnh,bhw,bnw->bn", rows, differences, columns)
        num_cells = ops.sum(rows, axis=-1) * ops.sum(columns, axis=-1)
        means = sums / ops.maximum(num_cells, 1)
        num_boxes = ops.sum(ops.cast(num_cells > 0, means.dtype), axis=-1)
        return ops.sum(means, axis=-1) / ops.maximum(num_boxes, 1)

    def _corners(self, student):
        """Left, top, right and bottom of the boxes, in the units of the image's size."""
        if self.labels is None:
            self.for_batch()  # Raises an error that says what is missing.
        boxes = ops.cast(self.labels, self.dtype)
        if not shapes_agree(tuple(boxes.shape), (student.shape[0], None, 4)):
            raise ValueError(
                "RegionMSE needs boxes (batch, boxes, 4) as labels. Received: labels "
                f"{tuple(boxes.shape)} for features {tuple(student.shape)}. Where y is something "
                "else, give DistillationInputs(images, labels=boxes)."
            )
        # Relative boxes are converted in the same way; their unit is the image.
        source = self.bounding_box_format.removeprefix("rel_")
        return keras.utils.bounding_boxes.convert_format(boxes, source, "xyxy", dtype=self.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "bounding_box_format": self.bounding_box_format,
            "image_size": self.image_size,
        }


def _touched(start, end, size, num_cells):
    """1 for the cells of an axis that an interval overlaps, else 0: `(batch, boxes, cells)`."""
    start, end = (ops.expand_dims(edge, -1) for edge in (start, end))
    cells = ops.cast(ops.arange(num_cells), start.dtype)
    num_cells = ops.cast(num_cells, start.dtype)
    # Multiplication instead of division compares sizes in pixels exactly.
    begins_before_its_end = start * num_cells < (cells + 1) * size
    ends_behind_its_start = end * num_cells > cells * size
    is_touched = ops.logical_and(begins_before_its_end, ends_behind_its_start)
    return ops.cast(ops.logical_and(is_touched, end > start), start.dtype)


def _check_format(bounding_box_format, image_size):
    name = str(bounding_box_format)
    if name.removeprefix("rel_") not in FORMATS:
        raise ValueError(
            f'bounding_box_format must be one of {FORMATS}, with "rel_" before it for parts of the '
            f"image. Received: bounding_box_format={bounding_box_format!r}"
        )
    if name.startswith("rel_") != (image_size is None):
        raise ValueError(
            "image_size must be the height and width of the images for boxes in pixels, and None "
            f"for relative ones. Received: bounding_box_format={bounding_box_format!r}, "
            f"image_size={image_size!r}"
        )
    return None if image_size is None else check_image_size(image_size)
