"""Objectives: a loss between an activation of the teacher and one of the student."""

import keras
import tensorflow as tf

from keras_distill._arguments import fixed_settings
from keras_distill._arguments.schedules import NOT_NEGATIVE
from keras_distill._arguments.schedules import check_number
from keras_distill._arguments.schedules import is_schedule
from keras_distill._keras import output_domain
from keras_distill._keras.channel_axis import check_channels_last
from keras_distill._keras.layers import flatten_layers
from keras_distill._keras.loss_config import serialize_losses
from keras_distill._keras.masks import fit_weights
from keras_distill._keras.masks import keras_mask
from keras_distill._keras.masks import set_keras_mask
from keras_distill.distillation.other_names import remedy
from keras_distill.distillation.projectors import auto_projector
from keras_distill.losses.base import parts_of
from keras_distill.losses.base import shapes_agree
from keras_distill.losses.base import take
from keras_distill.losses.keras_losses import asked
from keras_distill.losses.keras_losses import get
from keras_distill.losses.outputs.output_loss import OutputLoss


@keras.saving.register_keras_serializable(package="keras_distill")
class Objective(keras.layers.Layer):
    """A loss between two taps, with an optional projector on the student's side.

    ```
    weight * loss(teacher activation, projector(student activation))
    ```

    Both activations are read during the models' own forward passes. If a feature map has
    its channels first (data_format="channels_first"), they are moved to the last axis. The
    projector and the loss's own variables train with the student and are saved with the
    Distiller; the exported student never has them.

    Args:
        loss: A `keras.losses.Loss` with y_true = teacher, y_pred = student, such as
            `losses.FeatureMSE()`, or the name or function of a Keras loss. Both activations
            must have the same shape, unless the loss has an attribute `same_shapes = False` (a
            loss on relations between examples); see `losses.DistillationLoss` for all attributes
            of a loss. Layers and variables that are attributes of the loss train with the student,
            and belong to one objective only.
        teacher_layer: Path of the teacher's activation: layer names joined by "/", or a
            unique suffix of that; "output" or a key of the outputs, with indices
            ("encoder_outputs[3]"). A teacher that is not a Keras model has its outputs
            only. "mha/attention_scores" is a MultiHeadAttention's probabilities. A list of
            paths for a loss on several layers at once, such as `losses.FSP()`.
        student_layer: Path of the student's activation, in the same form.
        weight: Factor of this objective in the total loss: a float >= 0, or a
            `LearningRateSchedule` of the optimizer's step; it cannot be set later. Defaults
            to 1.
        projector: None; "auto" for the regressor of FitNets: on images whose height or
            width is larger than the teacher's, a convolution without padding whose kernel of
            `student size - teacher size + 1` brings both to the teacher's size; else, if the widths
            differ, a Dense layer on the last axis (on images, a 1x1 convolution); or a layer
            that maps the student's activation to the teacher's shape, for instance a
            `keras.Sequential` of a Resizing and a Conv2D layer.
        name: Name of the objective and of its entry in the history. Defaults to the
            loss's name.

    Raises:
        ValueError: If the shapes differ after the projector; raised before any training.

    Example:

    ```python
    kd.Objective(
        kd.losses.FeatureMSE(), teacher_layer="block_4", student_layer="block_2", projector="auto"
    )
    ```

    Reference: Romero et al. 2015, https://arxiv.org/abs/1412.6550. Deviation: the
    paper first trains the layers up to the hint and then the whole student; here both train at
    once.
    """

    def __init__(
        self, loss, *, teacher_layer, student_layer, weight=1.0, projector=None, name=None
    ):
        loss = get(loss)
        if not isinstance(loss, keras.losses.Loss):
            raise ValueError(
                "loss must be a keras.losses.Loss, or the name or function of one, such as "
                f"keras_distill.losses.FeatureMSE(). Received: loss={loss!r}{remedy(loss)}"
            )
        take("loss", loss)
        takes_lists = asked(loss).takes_lists
        for argument, path in (("teacher_layer", teacher_layer), ("student_layer", student_layer)):
            _check_path(argument, path, takes_lists, type(loss).__name__)
        weight = check_number("weight", weight, NOT_NEGATIVE)
        if not (projector in (None, "auto") or isinstance(projector, keras.layers.Layer)):
            raise ValueError(
                'projector must be None, "auto" or a keras.layers.Layer. '
                f"Received: projector={projector!r}"
            )
        if isinstance(projector, keras.layers.Layer):
            check_channels_last("projector", projector)
        if takes_lists and projector is not None:
            raise ValueError(
                f"projector must be None: {type(loss).__name__} compares several layers at once "
                f"and has the layers that it needs. Received: projector={projector!r}"
            )
        if asked(loss).on_input_gradients and projector is not None:
            raise ValueError(
                f"projector must be None: {type(loss).__name__} compares the gradients of the "
                f"models' outputs. Received: projector={projector!r}"
            )
        # Activations arrive in the models' own dtypes; the loss computes in float32.
        super().__init__(name=name or loss.name, autocast=False)
        self.loss = loss
        self.teacher_layer = list(teacher_layer) if takes_lists else teacher_layer
        self.student_layer = list(student_layer) if takes_lists else student_layer
        self._weight = weight
        self._loss_state = parts_of(loss)
        self._has_checked_values = False
        # The projector comes after the loss, as an "auto" one does: the optimizer saves in order.
        self.projector = projector

    def __setattr__(self, name, value):
        # An "auto" projector becomes a layer when it is built.
        is_auto = name == "projector" and getattr(self, name, "auto") == "auto"
        is_fixed = name in ("loss", "teacher_layer", "student_layer", "projector") and not is_auto
        if is_fixed and hasattr(self, name):
            remedy = "Make a new one with it, and a new Distiller."
            fixed_settings.refuse(self, name, value, remedy)
        super().__setattr__(name, value)

    @property
    def weight(self):
        """Factor in the total loss. It cannot be set: a compiled step would keep the old one."""
        return self._weight

    @property
    def teacher_paths(self):
        """The paths of the teacher's activations, a list."""
        return self._paths("teacher")

    @property
    def student_paths(self):
        """The paths of the student's activations, a list."""
        return self._paths("student")

    def _paths(self, side):
        inputs = getattr(asked(self.loss), f"{side}_inputs")
        paths = keras.tree.flatten(getattr(self, f"{side}_layer"))
        return paths + ([] if inputs is None else [inputs])

    @property
    def on_input_gradients(self):
        """Whether the loss is between gradients of the activations by the models' inputs."""
        return asked(self.loss).on_input_gradients

    @property
    def gradients_key(self):
        """Key of the input gradients in the dict of activations."""
        return f"{self.name} input gradients"

    @property
    def directions_key(self):
        """Key of the input gradients' directions in the dict of the teacher's activations."""
        return f"{self.name} directions"

    def pick(self, taught, learnt):
        """The teacher's and the student's part in two dicts from path to activation or shape."""
        if self.on_input_gradients:
            student = learnt[self.gradients_key]
            # If the loss does not read the teacher's gradients, there are none.
            return taught.get(self.gradients_key, student), student
        return tuple(
            [found[path] for path in paths] if isinstance(paths, list) else found[paths]
            for found, paths in ((taught, self.teacher_layer), (learnt, self.student_layer))
        )

    def build(self, teacher_shape, student_shape):
        if asked(self.loss).takes_lists:
            shapes = _of_any_batches(teacher_shape), _of_any_batches(student_shape)
            self.loss.check_shapes(*shapes)
            self._build_loss(*shapes)
        else:
            self._build_pair(*_of_any_batches((teacher_shape, student_shape)))
        self.built = True

    def _build_pair(self, teacher_shape, student_shape):
        projected_shape = student_shape
        if self.projector == "auto":
            self.projector = auto_projector(teacher_shape, student_shape)
        if self.projector is not None:
            if not self.projector.built:
                self.projector.build(student_shape)
            projected_shape = tuple(self.projector.compute_output_shape(student_shape))
        self._check_shapes(teacher_shape, student_shape, projected_shape)
        self._build_loss(teacher_shape, projected_shape)

    def _build_loss(self, *shapes):
        if not all(layer.built for layer in self._loss_state if isinstance(layer, keras.Layer)):
            with tf.init_scope():  # The first call may be inside a step that is being traced.
                one = keras.ops.zeros((1,), "int32")
                loss = asked(self.loss).for_batch(labels=one, example_index=one, step=0)
                loss(*map(_zeros, shapes))

    def call(
        self,
        teacher,
        student,
        sample_weight=None,
        labels=None,
        example_index=None,
        training=False,
        step=0,
    ):
        """Returns the unweighted scalar loss."""
        loss, rank = asked(self.loss).for_batch(labels, example_index, training, step), 1
        if not isinstance(student, (list, tuple)):
            if self.projector is not None:
                student = self._projected(student)
            rank = len(student.shape) - 1
        value = loss(teacher, student, fit_weights(sample_weight, loss.values_rank or rank))
        if isinstance(loss, OutputLoss):
            self._check_values(teacher, student)
        # The loss may compute in another dtype than the other terms of the sum.
        return keras.ops.cast(value, keras.config.floatx())

    def _projected(self, student):
        """The projected activation, with the mask that a projector may drop."""
        projected = self.projector(student)
        mask = keras_mask(student) if keras_mask(projected) is None else keras_mask(projected)
        # A layer that pools the positions to one vector has applied the mask itself.
        if mask is None or len(mask.shape) >= len(projected.shape):
            return projected
        masked_shape = tuple(projected.shape)[: len(mask.shape)]
        if not shapes_agree(tuple(mask.shape), masked_shape):
            raise ValueError(
                f"Objective {self.name!r}: behind the projector nobody can tell which positions "
                f"are padding. Received: a Keras mask of shape {tuple(mask.shape)}, and the "
                f"projector {self.projector.name!r}, which gives {tuple(projected.shape)}. Give "
                "one that keeps the positions, or tap layers of one length."
            )
        set_keras_mask(projected, mask)
        return projected

    def _check_values(self, teacher, student):
        """Checks the first concrete values: probabilities must not be treated as logits."""
        if self._has_checked_values or not tf.executing_eagerly():
            return
        mask = keras_mask(student)
        for side, values in (("teacher", teacher), ("student", student)):
            if getattr(self.loss, f"{side}_from_logits") is None:
                values = keras.ops.convert_to_numpy(keras.ops.cast(values, "float32"))
                if mask is not None:
                    values = values[keras.ops.convert_to_numpy(mask).astype(bool)]
                try:
                    path = getattr(self, f"{side}_layer")
                    output_domain.check_values(self.loss, side, path, None, values)
                except ValueError as error:
                    raise ValueError(f"{error} In the loss of objective {self.name!r}.") from None
        self._has_checked_values = True

    def _check_shapes(self, teacher_shape, student_shape, projected_shape):
        if self.on_input_gradients:
            self.loss.check_shapes(teacher_shape, student_shape)
        if not asked(self.loss).same_shapes or shapes_agree(teacher_shape, projected_shape):
            return
        behind = "" if projected_shape == student_shape else f", {projected_shape} when projected"
        auto = auto_projector(teacher_shape, student_shape)
        reached = student_shape if auto is None else auto.compute_output_shape(student_shape)
        if shapes_agree(teacher_shape, tuple(reached)):
            remedy = 'Use projector="auto", or a layer that maps one to the other.'
        else:
            remedy = (
                "Use a projector that brings the student's activation to the teacher's shape, such "
                "as keras.Sequential([keras.layers.Resizing(height, width), keras.layers.Conv2D("
                "channels, 1)])."
            )
        raise ValueError(
            f"Objective {self.name!r}: the teacher's {self.teacher_layer!r} has shape "
            f"{teacher_shape}, the student's {self.student_layer!r} {student_shape}{behind}; they "
            f"must be equal. {remedy}"
        )

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        projector = self.projector
        if isinstance(projector, keras.layers.Layer):
            projector = serialize(projector)
        return {
            "loss": serialize_losses(self.loss),
            "teacher_layer": self.teacher_layer,
            "student_layer": self.student_layer,
            "weight": serialize(self.weight) if is_schedule(self.weight) else self.weight,
            "projector": projector,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for key in ("loss", "weight", "projector"):
            if isinstance(config[key], dict):
                config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)


def _check_path(argument, path, takes_lists, loss):
    paths = path if isinstance(path, (list, tuple)) else [path]
    are_paths = bool(paths) and all(isinstance(p, str) and p for p in paths)
    if takes_lists and not (are_paths and paths is path):
        raise ValueError(
            f"{argument} must be a list of paths of layers or outputs: {loss} compares several at "
            f"once. Received: {argument}={path!r}"
        )
    if not takes_lists and not (are_paths and paths is not path):
        raise ValueError(
            f"{argument} must be the path of a layer or output, a string. "
            f"Received: {argument}={path!r}"
        )


def _of_any_batches(shapes):
    return [(None, *shape[1:]) for shape in shapes]


def check_objectives(objectives):
    """Raises `ValueError` unless these are `Objective`s with names and parts of their own."""
    if not isinstance(objectives, (list, tuple)) or not all(
        isinstance(objective, Objective) for objective in objectives
    ):
        raise ValueError(
            f"objectives must be a list of keras_distill.Objective. Received: {objectives!r}"
        )
    names = ["loss", "hard_loss", "soft_loss", *(objective.name for objective in objectives)]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(
            f"Each objective needs a name of its own for the history. Repeated: "
            f"{sorted(repeated)}. Give Objective(..., name=...)."
        )
    owners = {}
    for objective in objectives:
        for part in [*flatten_layers(objective, include_self=False), *objective.variables]:
            owner = owners.setdefault(id(part), objective)
            if owner is not objective:
                # Keras would save a shared part once, and miss it in the other when it loads.
                raise ValueError(
                    f"Objectives {owner.name!r} and {objective.name!r} share what trains or is "
                    f"random in a loss or projector. Received: {part.name!r} in both. Give each "
                    "its own, or make them with keras_distill.layer_objectives."
                )


def _zeros(shape):
    if isinstance(shape, list):
        return list(map(_zeros, shape))
    return keras.ops.zeros([1 if size is None else size for size in shape])
