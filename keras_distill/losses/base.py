"""The base class of every loss between a teacher and a student."""

import keras
import tensorflow as tf

from keras_distill._arguments import fixed_settings
from keras_distill._keras.masks import fit_weights
from keras_distill._keras.masks import keras_mask
from keras_distill._keras.masks import set_keras_mask


class DistillationLoss(keras.losses.Loss):
    """A loss between a teacher (`y_true`) and a student (`y_pred`): the base of all losses here.

    Write your own as a subclass with a `call(y_true, y_pred)` that returns unreduced values,
    `(batch, ...)`. Keras applies masks, sample weights and the reduction. The computation runs in
    float32 whatever the dtype policy (in float64 when that is Keras's `floatx` or policy), because
    a squared or exponentiated float16 overflows. No gradient reaches the teacher.

    A `Distiller` and an `Objective` use only the following attributes of a loss; a plain
    `keras.losses.Loss` has the defaults. Layers and variables that are attributes of a loss train
    with the student if the loss is in an `Objective`.

    Class attributes:
        same_shapes: Whether teacher and student must have the same shape, with features last.
            False for relations between examples, whose widths may differ. Defaults to True.
        takes_lists: Whether the loss compares several layers at once: `call` and `check_shapes`
            then get lists. Defaults to False.
        takes_masks: False for a loss that mixes positions, so that a mask cannot leave out single
            ones: student features with a Keras mask then raise an error. Defaults to True.
        values_rank: Number of axes of the unreduced values: 1 for one value per example. Defaults
            to None, which means the axes of the student's features without the last.
        needs: Names of the parts of a batch that the loss reads besides the two tensors: "labels",
            "example_index" and "training". `for_batch` sets the attributes with these names.
        on_input_gradients: Whether the loss compares the gradients of the models' outputs by their
            inputs, as `Sobolev` does. Defaults to False.

    Args:
        name: Name of the loss, and of its entry in the history of an `Objective`.
        reduction: As in `keras.losses.Loss`.
        dtype: Dtype of the computation. Defaults to float32.

    Example:

    >>> class L1(DistillationLoss):
    ...     def call(self, y_true, y_pred):
    ...         return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)
    >>> float(L1("l1")([[1.0, 2.0]], [[1.0, 4.0]]))
    1.0
    """

    same_shapes = True
    takes_lists = False
    takes_masks = True
    values_rank = None
    needs = ()
    on_input_gradients = False
    labels = None
    example_index = None
    training = False
    # Paths of the layers for input gradients by their outputs; None means the models' inputs.
    teacher_inputs = None
    student_inputs = None
    # Whether a Distiller or an Objective owns this loss.
    _in_use = False
    # Parts of the error message for shapes that differ.
    axes = "(batch, ..., features)"
    remedy = "Give the objective a projector that maps the student to the teacher's shape."

    def __init__(self, name, *, reduction="sum_over_batch_size", dtype=None):
        if dtype is None:
            defaults = keras.config.floatx(), keras.config.dtype_policy().compute_dtype
            dtype = "float64" if "float64" in defaults else "float32"
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __setattr__(self, name, value):
        if self._in_use and name in self.get_config():
            fixed_settings.refuse(
                self,
                name,
                value,
                "A keras.optimizers.schedules.LearningRateSchedule changes a temperature with the "
                "steps; otherwise make a new loss, and what has it.",
            )
        super().__setattr__(name, value)

    def __call__(self, y_true, y_pred, sample_weight=None):
        if not self.takes_masks and any(
            keras_mask(z) is not None for z in keras.tree.flatten(y_pred)
        ):
            raise ValueError(
                f"{type(self).__name__} compares whole feature maps, of which a mask can leave "
                "out no positions. Received: student features with a Keras mask. Tap a layer "
                "behind which there is none."
            )
        if self.takes_lists:
            teacher, y_pred = list(map(_constant, y_true)), list(map(_tensor, y_pred))
            self.check_shapes(*([tuple(z.shape) for z in side] for side in (teacher, y_pred)))
        else:
            teacher, y_pred = _constant(y_true), _tensor(y_pred)
            self.check_shapes(tuple(teacher.shape), tuple(y_pred.shape))
            if self.same_shapes and None in teacher.shape:
                teacher = with_shape_of(y_pred, teacher)
            y_pred = _with_whole_mask(y_pred, self.values_rank or len(y_pred.shape) - 1)
        return super().__call__(teacher, y_pred, sample_weight)

    def with_settings(self, **settings):
        """A copy of this loss with other values for some of its attributes.

        The copy shares layers and variables with this loss; copy.copy() would duplicate them,
        because Keras copies by serialization.
        """
        loss = object.__new__(type(self))
        vars(loss).update(vars(self) | settings)
        return loss

    def for_batch(self, labels=None, example_index=None, training=False, step=None):
        """A copy of this loss with the parts of a batch that it `needs`.

        Args:
            labels: The labels, `(batch, ...)`, or None.
            example_index: The number of each example in its data set, `(batch,)`, or None.
            training: Whether this is a training step.
            step: The optimizer's step, for schedules of the loss. None keeps the schedules.

        Raises:
            ValueError: If a part that the loss needs is None.
        """
        given = {"labels": labels, "example_index": example_index, "training": training}
        for name in self.needs:
            if given[name] is None:
                needed, remedy = _NEEDED[name]
                raise ValueError(
                    f"{type(self).__name__} needs {needed}. Received: {name}=None. {remedy}"
                )
        return self.with_settings(**{name: given[name] for name in self.needs})

    def check_shapes(self, teacher_shape, student_shape):
        """Raises `ValueError` for two shapes that the loss cannot compare.

        A mismatch must never broadcast: a width of 1 against 8 would give a wrong
        number. `None` stands for a size that is not known yet.
        """
        if not self.same_shapes:
            return
        if len(student_shape) < 2 or not shapes_agree(teacher_shape, student_shape):
            raise ValueError(
                f"{type(self).__name__} compares a teacher and a student of one shape, "
                f"{self.axes}, with at least two axes. "
                f"Received: teacher {teacher_shape}, student {student_shape}. {self.remedy}"
            )

    def get_config(self):
        return {**super().get_config(), "dtype": self.dtype}


# For each name in `needs`: what it is, and how to put it into the batch.
_NEEDED = {
    "labels": (
        "the labels of its output",
        "Give y in the data, one tensor for each output. An Objective of a student with several "
        "outputs cannot tell whose: give the loss as soft_loss={output: loss}, or "
        "keras_distill.DistillationInputs(labels=...).",
    ),
    "example_index": (
        "the number of each example in its data set",
        "Give keras_distill.data.with_example_index(dataset), before it is shuffled.",
    ),
}


def take(argument, loss):
    """Fixes the settings of a loss when a Distiller or an Objective takes it.

    Args:
        argument: The argument's name, for the error.
        loss: A `keras.losses.Loss`.

    Raises:
        ValueError: If the loss returns one value for each example instead of their mean.
    """
    if loss.reduction in (None, "none"):
        raise ValueError(
            f"{argument} must have a reduction: values of many examples, added to the other terms, "
            "would multiply the gradients of all of them. Received: "
            f"{type(loss).__name__}(reduction={loss.reduction!r}). Leave it out."
        )
    if isinstance(loss, DistillationLoss):
        loss._in_use = True


def parts_of(loss):
    """Lists the layers, variables and random generators that are attributes of a loss."""
    # Keras does not search losses for layers and variables to train and to save.
    return [
        value
        for value in keras.tree.flatten(list(vars(loss).values()))
        if isinstance(value, (keras.layers.Layer, keras.Variable, keras.random.SeedGenerator))
    ]


def shapes_agree(shape, other):
    """Whether two shapes are equal in all sizes that are known."""
    return len(shape) == len(other) and all(
        None in sizes or sizes[0] == sizes[1] for sizes in zip(shape, other)
    )


def _constant(teacher):
    return keras.ops.stop_gradient(keras.ops.convert_to_tensor(teacher))


def _with_whole_mask(student, rank):
    """The student with a mask of the values' rank: Keras would align another with the last axes."""
    mask = keras_mask(student)
    if mask is None or len(mask.shape) >= rank:
        return student
    student = tf.identity(student)
    set_keras_mask(student, fit_weights(mask, rank))
    return student


def _tensor(student):
    # A tensor must stay the same object, because its mask is an attribute.
    return student if hasattr(student, "shape") else keras.ops.convert_to_tensor(student)


def with_shape_of(student, teacher, width=None):
    """Prevents broadcasting of sizes that are known only at run time, too.

    Args:
        student: A tensor.
        teacher: A tensor that must have its shape.
        width: The last size of the teacher, if it may differ from the student's.
    """
    shape = tf.shape(student)
    if width is not None:
        shape = tf.concat([shape[:-1], [width]], axis=0)
    # XLA drops assertions, and TensorFlow's graph optimizer drops a seemingly redundant reshape.
    with tf.control_dependencies([tf.debugging.assert_equal(tf.shape(teacher), shape)]):
        return tf.reshape(teacher, shape)


def check_channels(loss, *shapes):
    """Raises `ValueError` if the last size of a shape (the channels) is not known."""
    if any(shape[-1] is None for shape in shapes):
        raise ValueError(
            f"{type(loss).__name__} has trained parts that are as wide as the features. "
            f"Received: features of unknown width, {', '.join(map(str, shapes))}. "
            "Tap a layer whose last size is known."
        )
