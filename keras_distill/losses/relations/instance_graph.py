"""Instance relationship graph (IRG): examples, their distances, and how layers change both."""

import itertools

import keras
from keras import ops

from keras_distill._arguments.checks import check_at_least
from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.base import shapes_agree
from keras_distill.losses.numerics import divide
from keras_distill.losses.relations.pairs import dot_products
from keras_distill.losses.relations.pairs import squared_distances
from keras_distill.losses.relations.per_example import check_examples
from keras_distill.losses.relations.per_example import without_masked


@keras.saving.register_keras_serializable(package="keras_distill")
class IRG(DistillationLoss):
    """Difference of the instance relationship graphs of several layers.

    A graph has the batch's examples as vertices and their distances as edges. The loss compares
    the last layers' vertices, each layer's edges, and the changes between consecutive layers of
    the lists.

    ```
    A_l,ij = |x_l,i - x_l,j|^2 / the largest in the batch      of layer l, in teacher and student
    vertices_i = mean over features of (x_i of the teacher - of the student)^2, the last layers
    edges_i = mean over l and j of (A_l,ij of the teacher - A_l,ij of the student)^2
    T_l,i = mean over j of (A_l,ij - A_l+1,ij)^2               transformation="edges"
    T_l,i = |x_l,i - x_l+1,i|^2 / the largest in the batch     transformation="vertices"
    transformations_i = mean over l of (T_l,i of the teacher - T_l,i of the student)^2
    loss_i = vertex_weight * vertices_i + edge_weight * edges_i
             + transformation_weight * transformations_i
    ```

    Edges and transformations do not change if a layer is rotated, shifted or scaled
    (for the transformation of vertices: if all layers are). Time and memory grow with the square
    of the batch. In a last batch of one example, only its vertex counts.

    Args:
        transformation: `"edges"`, for layers of any shapes, or `"vertices"`, for models whose
            tapped layers all have the same shape. Defaults to `"edges"`.
        vertex_weight: Factor of the vertices, a float >= 0. Defaults to 1. With 0 the last layers
            may differ in shape.
        edge_weight: Factor of the edges, a float >= 0. Defaults to 1.
        transformation_weight: Factor of the transformations, a float >= 0. Defaults to 1. With 0,
            one layer is enough.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the value; distances are float64. Defaults to float32.

    Call arguments:
        y_true: List of the teacher's features, `(batch, ...)` each, one vector for each example.
        y_pred: List of as many of the student's features. Positions that their Keras mask
            `(batch, positions, ...)` leaves out are zeros in both.
        sample_weight: Optional weights, `(batch,)`, of the examples i.

    Raises:
        ValueError: If an argument is out of range; if the lists or batches differ; if the batch
            has one example, a list one layer, or the shapes do not allow a term with a weight.

    Example:

    ```python
    kd.Objective(
        kd.losses.IRG(),
        teacher_layer=["block_2", "block_4", "output"],
        student_layer=["a", "b", "output"],
    )
    ```

    >>> import numpy as np
    >>> loss = IRG(vertex_weight=0)
    >>> near, far = np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [1.0], [5.0]])
    >>> float(loss([near, near], [near, 3 * near])), float(loss([near, near], [near, far])) > 0
    (0.0, True)

    Reference: Liu et al. 2019, Knowledge Distillation via Instance Relationship Graph, CVPR 2019,
    https://openaccess.thecvf.com/content_CVPR_2019/papers/Liu_Knowledge_Distillation_via_Instance_Relationship_Graph_CVPR_2019_paper.pdf.
    Deviations: means instead of sums, and distances relative to the largest, keep the weights
    independent of batch, width and depth; the transformation of edges is one number for each
    example, in the paper one for the whole batch; the paper's full loss leaves this term out.
    """

    same_shapes = False
    takes_lists = True
    values_rank = 1
    smallest_batch = 2

    def __init__(
        self,
        transformation="edges",
        *,
        vertex_weight=1.0,
        edge_weight=1.0,
        transformation_weight=1.0,
        reduction="sum_over_batch_size",
        name="irg",
        dtype=None,
    ):
        if transformation not in ("edges", "vertices"):
            raise ValueError(
                'transformation must be "edges" or "vertices". '
                f"Received: transformation={transformation!r}"
            )
        vertex_weight = check_at_least("vertex_weight", vertex_weight)
        edge_weight = check_at_least("edge_weight", edge_weight)
        transformation_weight = check_at_least("transformation_weight", transformation_weight)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.transformation = transformation
        self.vertex_weight = vertex_weight
        self.edge_weight = edge_weight
        self.transformation_weight = transformation_weight

    def __call__(self, y_true, y_pred, sample_weight=None):
        pairs = [without_masked(*pair) for pair in zip(y_true, y_pred)]
        # zip() above cuts a longer list: such lists stay as they are, for the error.
        if len(y_true) == len(y_pred):
            y_true, y_pred = ([pair[side] for pair in pairs] for side in (0, 1))
        return super().__call__(y_true, y_pred, sample_weight)

    def check_shapes(self, teacher_shape, student_shape):
        smallest = 2 if self.transformation_weight else 1
        if not smallest <= len(teacher_shape) == len(student_shape):
            raise ValueError(
                "IRG needs lists of as many layers of the teacher as of the student, at least "
                f"{smallest}. Received: {len(teacher_shape)} and {len(student_shape)}. For one "
                "layer give transformation_weight=0."
            )
        for shapes in zip(teacher_shape, student_shape):
            check_examples(self, *shapes)
        if self.vertex_weight and not shapes_agree(teacher_shape[-1], student_shape[-1]):
            raise ValueError(
                "IRG compares the vertices of the last layers, which must have one shape. "
                f"Received: teacher {teacher_shape[-1]}, student {student_shape[-1]}. End both "
                'lists with "output", or give vertex_weight=0.'
            )
        if self.transformation_weight and self.transformation == "vertices":
            for shapes in (teacher_shape, student_shape):
                if not all(shapes_agree(*pair) for pair in itertools.pairwise(shapes)):
                    raise ValueError(
                        "IRG with transformation='vertices' needs layers of one shape within each "
                        f'model. Received: {list(shapes)}. Give transformation="edges".'
                    )

    def call(self, y_true, y_pred):
        teacher, student = (_edges_of_layers(layers) for layers in (y_true, y_pred))
        values = self.edge_weight * _mean_difference(teacher, student)
        if self.vertex_weight:
            axes = list(range(1, len(y_pred[-1].shape)))
            squares = ops.square(ops.cast(y_true[-1], "float64") - ops.cast(y_pred[-1], "float64"))
            values = values + self.vertex_weight * ops.mean(squares, axis=axes)
        if self.transformation_weight:
            if self.transformation == "vertices":
                changes = [_changes_of_vertices(layers) for layers in (y_true, y_pred)]
            else:
                changes = [_changes_of_edges(edges) for edges in (teacher, student)]
            values = values + self.transformation_weight * _mean_difference(*changes)
        return ops.cast(values, self.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "transformation": self.transformation,
            "vertex_weight": self.vertex_weight,
            "edge_weight": self.edge_weight,
            "transformation_weight": self.transformation_weight,
        }


def _edges_of_layers(layers):
    """The edges of each layer, `(batch, batch)`."""
    return [
        _relative(squared_distances(dot_products(features, is_centred=True))) for features in layers
    ]


def _changes_of_edges(edges):
    return [ops.mean(ops.square(one - other), -1) for one, other in itertools.pairwise(edges)]


def _changes_of_vertices(layers):
    layers = [ops.cast(features, "float64") for features in layers]
    axes = list(range(1, len(layers[0].shape)))
    return [
        _relative(ops.sum(ops.square(one - other), axis=axes))
        for one, other in itertools.pairwise(layers)
    ]


def _relative(squared):
    # `initial` makes the maximum of an empty batch 0 instead of an error.
    return divide(squared, ops.max(squared, initial=0.0))


def _mean_difference(teacher, student):
    """Mean over layers, and over all axes but the batch, of the squared differences."""
    squares = [ops.square(one - other) for one, other in zip(teacher, student)]
    rows = [ops.mean(square, axis=-1) if len(square.shape) > 1 else square for square in squares]
    return sum(rows) / len(rows)
