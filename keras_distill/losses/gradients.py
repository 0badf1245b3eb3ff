"""Losses between input gradients: they compare how the models' outputs change."""

import keras
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_seed
from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.numerics import unit_vectors


class InputGradientLoss(DistillationLoss):
    """Base of losses between input gradients, `(batch, directions, *inputs)`.

    ```
    gradient_k = d <output, v_k> / d inputs
    ```

    In an `Objective` that names both models' outputs, the Distiller takes these
    gradients in the models' own passes: the teacher's as constants, the student's so
    that the loss trains the student. The vectors v_k, the same for both models, come
    from `directions`.

    Args:
        teacher_inputs: Path of the teacher's layer by whose output the gradient is
            taken, for inputs that are not floating point (an embedding layer for token
            ids, a Rescaling layer for bytes). None for the teacher's inputs.
        student_inputs: Path of the student's layer, in the same form.
    """

    on_input_gradients = True
    # Whether the loss compares with the teacher's gradients.
    reads_teacher = True
    values_rank = 1
    axes = "(batch, directions, ...)"
    remedy = (
        "Both models must read inputs of one shape; where one resizes them first, name the layer "
        "behind it by teacher_inputs or student_inputs."
    )

    def __init__(self, *, teacher_inputs, student_inputs, name, reduction, dtype):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        for side, path in (("teacher", teacher_inputs), ("student", student_inputs)):
            if path is not None and not (isinstance(path, str) and path):
                raise ValueError(
                    f"{side}_inputs must be the path of a layer, or None for the {side}'s "
                    f"inputs. Received: {side}_inputs={path!r}"
                )
        self.teacher_inputs = teacher_inputs
        self.student_inputs = student_inputs

    def check_shapes(self, teacher_shape, student_shape):
        if len(student_shape) < 3:
            raise ValueError(
                f"{type(self).__name__} compares input gradients, {self.axes}. Give it in an "
                "Objective, of models whose inputs have at least two axes. "
                f"Received: {student_shape}."
            )
        super().check_shapes(teacher_shape, student_shape)

    def directions(self, teacher_output):
        """The vectors v_k, `(batch, directions, *output)`, for outputs `(batch, *output)`."""
        raise NotImplementedError

    def get_config(self):
        paths = {"teacher_inputs": self.teacher_inputs, "student_inputs": self.student_inputs}
        return {**super().get_config(), **paths}


class _ProjectedGradientLoss(InputGradientLoss):
    """A loss on random projections of the outputs, or on every single output."""

    def __init__(
        self, num_projections, *, seed, teacher_inputs, student_inputs, name, reduction, dtype
    ):
        super().__init__(
            teacher_inputs=teacher_inputs,
            student_inputs=student_inputs,
            name=name,
            reduction=reduction,
            dtype=dtype,
        )
        num_projections = check_integer("num_projections", num_projections, optional=True)
        self.num_projections = num_projections
        self.seed = check_seed("seed", seed, optional=True)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def directions(self, teacher_output):
        batch_size, *sizes = ops.shape(teacher_output)
        if self.num_projections is None:
            num_units = _num_units(teacher_output)
            if not isinstance(num_units, int):
                raise ValueError(
                    "num_projections=None takes the gradient of each output, so their number must "
                    f"be known. Received: outputs of shape {tuple(teacher_output.shape)}. Give "
                    "num_projections=1, or models a fixed length."
                )
            each = ops.broadcast_to(ops.eye(num_units), (batch_size, num_units, num_units))
            return ops.reshape(each, (batch_size, num_units, *sizes))
        shape = (batch_size, self.num_projections, _num_units(teacher_output))
        random = unit_vectors(
            keras.random.normal(shape, dtype=self.dtype, seed=self.seed_generator)
        )
        return ops.reshape(random, (batch_size, self.num_projections, *sizes))

    def get_config(self):
        return {
            **super().get_config(),
            "num_projections": self.num_projections,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="keras_distill")
class Sobolev(_ProjectedGradientLoss):
    """Squared difference of the models' input gradients (Sobolev training).

    ```
    loss = mean_k sum_inputs (d <teacher, v_k> / dx - d <student, v_k> / dx)^2
    ```

    v_k are random vectors of length 1, drawn anew for each example and step. With
    `num_projections=None` they select the outputs one by one. Both have the same
    expectation: the squared distance of the Jacobians over the number of outputs.

    Use it in an `Objective` that names the outputs to differentiate: logits on both
    sides or probabilities on both. The soft loss compares the outputs themselves.
    Each projection costs a backward pass of both models, and one more through
    the student's. The student's gradients are taken in training mode: with its
    dropout, and with batch normalisation by the batch, so that the examples are not
    independent. Every operation of the student needs a second derivative. It is 0 for
    a ReLU, and TensorFlow's error names an operation that has none. Gradients by
    embeddings are comparable if the student has the teacher's embeddings; between
    different embeddings of the same width they have no common meaning.

    Args:
        num_projections: Random directions for each example, 1 or more, or None for the
            whole Jacobian, at the cost of as many projections as there are outputs.
            Defaults to 1.
        seed: Integer seed of the directions, or None for one that Keras draws. Defaults to 0.
        teacher_inputs: Path of the teacher's layer by whose output the gradient is
            taken, for inputs that are not floating point (an embedding layer for token
            ids, a Rescaling layer for bytes). None for the teacher's inputs, which must
            then be one tensor.
        student_inputs: Path of the student's layer, in the same form.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Teacher gradients, `(batch, directions, *inputs)`.
        y_pred: Student gradients of the same shape.
        sample_weight: Optional weights, `(batch,)`.

    Raises:
        ValueError: If an argument is out of range; in a Distiller, at the first batch,
            if inputs are not a floating-point tensor, the models' inputs or outputs differ
            in shape, or the batch carries teacher_outputs, which have no gradients.

    Example:

    >>> import numpy as np
    >>> loss = Sobolev()
    >>> float(loss(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 5.0]]])))
    9.0

    ```python
    kd.Objective(kd.losses.Sobolev(), teacher_layer="output", student_layer="output")
    kd.Objective(  # This one is for texts.
        kd.losses.Sobolev(teacher_inputs="embedding", student_inputs="embedding"),
        teacher_layer="output",
        student_layer="output",
    )
    ```

    Reference: Czarnecki et al. 2017, https://arxiv.org/abs/1706.04859, eq. 1 and the
    stochastic version. Deviations: first order only; the whole Jacobian has the mean over
    the outputs, not the sum, like the random projections; each example has its own direction.
    """

    def __init__(
        self,
        num_projections=1,
        *,
        seed=0,
        teacher_inputs=None,
        student_inputs=None,
        reduction="sum_over_batch_size",
        name="sobolev",
        dtype=None,
    ):
        super().__init__(
            num_projections,
            seed=seed,
            teacher_inputs=teacher_inputs,
            student_inputs=student_inputs,
            name=name,
            reduction=reduction,
            dtype=dtype,
        )

    def call(self, y_true, y_pred):
        return _mean_of_squared_norms(y_pred - y_true)


@keras.saving.register_keras_serializable(package="keras_distill")
class JacobianMatching(InputGradientLoss):
    """Squared difference of the directions of the models' input gradients.

    ```
    c    = argmax_i teacher_i
    a, b = d teacher_c / dx, d student_c / dx
    loss = sum_inputs (a / |a| - b / |b|)^2 = 2 - 2 cos(a, b)
    ```

    For each example, the loss compares the gradient of the teacher's largest output, which
    shows the inputs that the teacher's answer depends on. The loss is 0 for equal directions
    and 4 for opposite ones. A gradient of zeros has no direction: its loss is 1 against
    another gradient, and it trains nothing.

    Use it in an `Objective` that names the outputs, like `Sobolev` (which explains costs,
    training mode and second derivatives). On feature maps, `(batch, height, width,
    channels)`, c is the largest entry of the whole map.

    Args:
        teacher_inputs: Path of the teacher's layer by whose output the gradient is
            taken, for inputs that are not floating point (an embedding layer for token
            ids, a Rescaling layer for bytes). None for the teacher's inputs, which must
            then be one tensor.
        student_inputs: Path of the student's layer, in the same form.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Teacher gradients, `(batch, directions, *inputs)`.
        y_pred: Student gradients of the same shape.
        sample_weight: Optional weights, `(batch,)`.

    Raises:
        ValueError: As `Sobolev`.

    Example:

    >>> import numpy as np
    >>> loss = JacobianMatching()
    >>> float(loss(np.array([[[2.0, 0.0]]]), np.array([[[0.0, 5.0]]])))
    2.0

    Reference: Srinivas and Fleuret 2018, https://arxiv.org/abs/1803.00443. Deviations:
    the paper adds this to the distance of outputs or of attention maps, which are
    separate losses here; the treatment of a gradient of zeros.
    """

    def __init__(
        self,
        *,
        teacher_inputs=None,
        student_inputs=None,
        reduction="sum_over_batch_size",
        name="jacobian_matching",
        dtype=None,
    ):
        super().__init__(
            teacher_inputs=teacher_inputs,
            student_inputs=student_inputs,
            name=name,
            reduction=reduction,
            dtype=dtype,
        )

    def directions(self, teacher_output):
        batch_size, *sizes = ops.shape(teacher_output)
        num_units = _num_units(teacher_output)
        largest = ops.argmax(ops.reshape(teacher_output, (batch_size, num_units)), axis=-1)
        return ops.reshape(ops.one_hot(largest, num_units), (batch_size, 1, *sizes))

    def call(self, y_true, y_pred):
        shape = ops.shape(y_pred)
        flat = (*shape[:2], _num_units(y_pred, num_axes=2))
        y_true, y_pred = ops.reshape(y_true, flat), ops.reshape(y_pred, flat)
        teacher, student = unit_vectors(y_true), unit_vectors(y_pred)
        # A student gradient of zeros has no direction in which the loss could move it.
        is_zero = ops.all(y_pred == 0, axis=-1, keepdims=True)
        student = ops.where(is_zero, ops.zeros_like(student), student)
        return _mean_of_squared_norms(teacher - student)


@keras.saving.register_keras_serializable(package="keras_distill")
class GradientNorm(_ProjectedGradientLoss):
    """Squared length of the student's input gradients, a penalty without the teacher.

    ```
    loss = mean_k sum_inputs (d <student, v_k> / dx)^2
    ```

    With v_k as in `Sobolev`, its mean is the squared Frobenius norm of the student's
    Jacobian over the number of outputs. A student with small gradients changes little
    under noise in its inputs.

    Use it in an `Objective` that names the outputs, like `Sobolev` (which explains costs,
    training mode and second derivatives). The loss reads only the shape of the teacher's
    output, so the batch may carry teacher_outputs.

    Args:
        num_projections: Random directions for each example, 1 or more, or None for the
            whole Jacobian, at the cost of as many projections as there are outputs.
            Defaults to 1.
        seed: Integer seed of the directions, or None for one that Keras draws. Defaults to 0.
        student_inputs: Path of the student's layer by whose output the gradient is
            taken, for inputs that are not floating point (an embedding layer for token
            ids, a Rescaling layer for bytes). None for the student's inputs, which must
            then be one tensor.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Not used; it has the shape of y_pred.
        y_pred: Student gradients, `(batch, directions, *inputs)`.
        sample_weight: Optional weights, `(batch,)`.

    Raises:
        ValueError: As `Sobolev`.

    Example:

    >>> import numpy as np
    >>> loss = GradientNorm()
    >>> float(loss(np.zeros((1, 1, 2)), np.array([[[3.0, 4.0]]])))
    25.0

    Reference: Drucker and LeCun 1992, Improving generalization performance using double
    backpropagation, https://doi.org/10.1109/72.165600; for distilled students Srinivas
    and Fleuret 2018, https://arxiv.org/abs/1803.00443; its random projections Hoffman
    et al. 2019, https://arxiv.org/abs/1908.02729. Deviations: Drucker and LeCun take the
    gradient of the training loss, this loss takes the gradient of the outputs; the mean over
    the outputs, not the sum.
    """

    reads_teacher = False

    def __init__(
        self,
        num_projections=1,
        *,
        seed=0,
        student_inputs=None,
        reduction="sum_over_batch_size",
        name="gradient_norm",
        dtype=None,
    ):
        super().__init__(
            num_projections,
            seed=seed,
            teacher_inputs=None,
            student_inputs=student_inputs,
            name=name,
            reduction=reduction,
            dtype=dtype,
        )

    def call(self, y_true, y_pred):
        return _mean_of_squared_norms(y_pred)

    def get_config(self):
        config = super().get_config()
        del config["teacher_inputs"]
        return config


def _num_units(tensor, num_axes=1):
    """The number of entries after the first axes, an integer if it is known."""
    # A reshape to -1 would fail: an empty batch does not determine this number.
    num_units = 1
    for size in ops.shape(tensor)[num_axes:]:
        num_units = num_units * size
    return num_units


def _mean_of_squared_norms(gradients):
    squares = ops.square(gradients)
    return ops.mean(ops.sum(squares, axis=list(range(2, len(gradients.shape)))), axis=-1)
