"""Online distillation: models learn from labels and, in the same step, from one another."""

from typing import NamedTuple

import keras
import tensorflow as tf
from keras import ops

from keras_distill._arguments.schedules import NOT_NEGATIVE
from keras_distill._arguments.schedules import check_number
from keras_distill._arguments.schedules import value_at
from keras_distill._keras.channel_axis import outputs_channels_last
from keras_distill._keras.compiled import own_metrics
from keras_distill._keras.loss_config import serialize_losses
from keras_distill._keras.raw_inputs import check_preprocessed
from keras_distill.callbacks.schedule_check import ScheduleCheck
from keras_distill.data.inputs import DistillationInputs
from keras_distill.data.inputs import inputs_of
from keras_distill.distillation import first_batch
from keras_distill.distillation.history_names import check_names
from keras_distill.distillation.history_names import metric_names
from keras_distill.distillation.label_checks import check_class_weight
from keras_distill.distillation.label_checks import check_classes
from keras_distill.distillation.label_checks import known_outputs
from keras_distill.distillation.learner import Learner
from keras_distill.distillation.loss_domains import check_takes_logits
from keras_distill.distillation.soft_loss import checked_soft_loss
from keras_distill.distillation.soft_loss import output_pairs
from keras_distill.distillation.soft_loss import temperatures
from keras_distill.distillation.student_hooks import check_plain
from keras_distill.losses.base import shapes_agree


class Lesson(NamedTuple):
    """The output that teaches, the one that learns, and the lesson's share of its soft loss."""

    teacher: str
    student: str
    share: float = 1.0


class OnlineDistillation(Learner):
    """One Keras model made of several models; each has an output with its name.

    ```
    total = sum_outputs hard + weight * sum_lessons share * soft + regularisers
    ```

    Every output learns from the labels by the loss of compile(). In a lesson, one output
    learns from another output of the same forward pass, which gets no gradient from it.

    Args:
        models: Dict from the names of the outputs to built Keras models with one output each.
            They read the trunk's output; without a trunk, the inputs.
        lessons: List of `Lesson`s.
        trunk: A Keras model that all models share, or None.
        soft_loss: The loss of a lesson.
        weight: Weight of the lessons, a float or a schedule of the optimizer's step.
        name: Name of the model.
    """

    fixed = ("gate", "lessons", "models", "soft_loss", "trunk")
    changeable = ("weight",)

    def __init__(self, models, lessons, trunk, soft_loss, weight, name):
        _check_models(models, trunk)
        soft_loss = checked_soft_loss(soft_loss)
        weight = check_number("weight", weight, NOT_NEGATIVE)
        # Keras scales the loss if this policy is mixed_float16.
        policies = [model.dtype_policy for model in _parts(models, trunk)]
        policy = max(policies, key=lambda policy: policy.compute_dtype == "float16")
        # Each model casts its own inputs.
        super().__init__(name=name, dtype=policy, autocast=False)
        self.trunk = trunk
        self.models = dict(models)
        self.lessons = list(lessons)
        self.soft_loss = soft_loss
        self.weight = weight
        names = {lesson.student for lesson in lessons}
        self._soft_trackers = {
            name: keras.metrics.Mean(name=f"{name}_soft_loss") for name in sorted(names)
        }
        self.built = True

    def check_setting(self, name, value):
        return check_number("weight", value, NOT_NEGATIVE)

    @property
    def students(self):
        """Lists the models that learn; the trunk that they share is one of them."""
        return _parts(self.models, self.trunk)

    @property
    def _models_by_output(self):
        """Dict from the name of each output to its model; None for an output of several."""
        return dict(self.models)

    def student(self, name=None):
        """A model to export: a plain Keras model that shares its weights with this one.

        Args:
            name: Name of its output. Defaults to the first.

        Returns:
            The model of this output; with a trunk, a new model of the trunk and this model.
        """
        name = next(iter(self.models)) if name is None else name
        if name not in self.models:
            raise ValueError(f"name must be one of {list(self.models)}. Received: name={name!r}")
        model = self.models[name]
        if self.trunk is None:
            return model
        inputs, features = ends(self.trunk)
        return keras.Model(inputs, model(features), name=model.name)

    # What Keras calls

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        **kwargs,
    ):
        """As `keras.Model.compile`; a single loss and a list of metrics apply to every output."""
        if loss is None:
            raise ValueError(
                f"{type(self).__name__} needs a loss in compile(): models that learn from one "
                "another alone may agree on anything. Received: loss=None."
            )
        given = keras.tree.flatten([metrics, weighted_metrics])
        outputs = list(self._models_by_output)
        own = metric_names(self._soft_trackers.values())
        of_metrics = metric_names([m for m in given if hasattr(m, "update_state")], outputs)
        check_names([*own, *(f"{output}_loss" for output in outputs), *of_metrics])
        for name, model in self.models.items():
            check_takes_logits(_of_model(name, loss), model)
        metrics, weighted_metrics = map(self._for_each_output, (metrics, weighted_metrics))
        super().compile(optimizer, loss, loss_weights, metrics, weighted_metrics, **kwargs)

    def _for_each_output(self, metrics):
        if not isinstance(metrics, (list, tuple)):
            return metrics
        return {name: list(map(_copy, metrics)) for name in self._models_by_output}

    def call(self, inputs, training=None):
        """Returns the dict of outputs."""
        features = inputs if self.trunk is None else self.trunk(inputs, training=training)
        return self._outputs_of(features, training)

    def _outputs_of(self, features, training):
        """Returns the dict of outputs for the trunk's features."""
        return {name: model(features, training=training) for name, model in self.models.items()}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the total loss, which includes the lessons in evaluation, too."""
        self._check_labels(y)
        labels = dict.fromkeys(y_pred, y)
        weights = None if sample_weight is None else dict.fromkeys(y_pred, sample_weight)
        hard = super().compute_loss(x, labels, y_pred, weights, training)
        step = 0 if self.optimizer is None else self.optimizer.iterations
        soft = dict.fromkeys(self._soft_trackers, 0.0)
        for lesson in self.lessons:
            pair = self._pair(lesson, y_pred, sample_weight, y)
            soft[lesson.student] += lesson.share * pair.value(step, training=training)
        self.track(self._soft_trackers, soft, ops.shape(y)[0])
        return hard + value_at(self.weight, step) * sum(soft.values())

    def _check_labels(self, y):
        if y is None or keras.tree.is_nested(y):
            raise ValueError(
                f"{type(self).__name__} needs labels y, one tensor, which is that of every output. "
                f"Received: y of type {type(y).__name__}"
            )

    def _pair(self, lesson, outputs, sample_weight=None, labels=None):
        names = lesson.teacher, lesson.student
        models = [self._models_by_output[name] for name in names]
        outputs = [outputs_channels_last(m, outputs[name]) for m, name in zip(models, names)]
        # Keras's losses pass a gradient to y_true.
        outputs[0] = ops.stop_gradient(outputs[0])
        (pair,) = output_pairs(self.soft_loss, models, outputs, sample_weight, labels=labels)
        return pair._replace(name=lesson.student)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        weights = None if sample_weight is None else dict.fromkeys(y_pred, sample_weight)
        return super().compute_metrics(x, dict.fromkeys(y_pred, y), y_pred, weights)

    @property
    def metrics(self):
        # Keras leaves out the metrics of a model inside another model.
        own = [metric for model in _parts(self.models, self.trunk) for metric in own_metrics(model)]
        return super().metrics + own

    def predict(self, x, *args, **kwargs):
        """As `keras.Model.predict`: the dict of outputs."""
        self.check_inputs("x", x, in_training=False)
        return super().predict(x, *args, **kwargs)

    def predict_on_batch(self, x):
        """As `keras.Model.predict_on_batch`: the dict of outputs."""
        self.check_inputs("x", x, in_training=False)
        return super().predict_on_batch(x)

    def check_inputs(self, argument, x, in_training=True):
        spec = x.element_spec if isinstance(x, tf.data.Dataset) else x
        first = spec[0] if isinstance(spec, tuple) and spec else spec
        if any(isinstance(part, DistillationInputs) for part in (spec, first)):
            raise ValueError(
                f"{argument} must be what all models read: they learn together, without a teacher. "
                "Received: DistillationInputs. Give their student= part alone."
            )
        readers = list(self.models.values()) if self.trunk is None else [self.trunk]
        for model in readers:
            check_preprocessed("model", model, argument, inputs_of(x).student)

    def check_validation(self, has_labels):
        if not has_labels:
            self._check_labels(None)

    def check_classes(self, argument, y):
        for name, model in self.models.items():
            check_classes(argument, y, _of_model(name, self.loss), known_outputs(model))

    def check_class_weight(self, class_weight):
        ranks = [
            check_class_weight(class_weight, _of_model(name, self.loss), known_outputs(model))
            for name, model in self.models.items()
        ]
        return ranks[0]

    def schedule_checks(self):
        settings = [("weight", self.weight, NOT_NEGATIVE), *temperatures(self.soft_loss)]
        return [ScheduleCheck(self, settings)]

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        super()._maybe_symbolic_build(iterator, data_batch)
        _, y, _ = keras.utils.unpack_x_y_sample_weight(self._batch_spec)
        if y is not None:
            self.check_classes("y", y)
        self.build_state(self._batch_spec)

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            super().make_train_function(force)
            # With several devices, batches have no size in the graph, but a batch that was put back
            # has one, and Keras weights the losses in its history by the size.
            if self.distribute_strategy.num_replicas_in_sync == 1:
                self.train_function = first_batch.checked(
                    self.train_function, self._check_batch, self.steps_per_execution
                )

    def _check_batch(self, batch):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(
            first_batch.local_batch(batch, self.distribute_strategy)
        )
        if y is not None:
            self.check_classes("y", y)
        # The scope discards changes of state, such as batch normalization's moving statistics.
        with self.distribute_strategy.scope(), keras.StatelessScope():
            outputs = self(x, training=False)
            for lesson in self.lessons:
                self._pair(lesson, outputs).check_values()

    # Saving

    def export(self, filepath, *args, **kwargs):
        """Raises `ValueError`: export one of the students instead."""
        names = list(self.models)
        raise ValueError(
            f"{type(self).__name__} has several students, of which an app runs one. Received: "
            f"export({str(filepath)!r}) of {names}. Export one, such as "
            f"model.student({names[0]!r}).export(...); evaluate() says which is best."
        )

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "soft_loss": serialize_losses(self.soft_loss),
            "weight": serialize(self.weight),
            "name": self.name,
        }


def named(argument, models):
    """Turns a list of at least two models into a dict by their names."""
    names = [getattr(model, "name", None) for model in models]
    if len(names) < 2:
        raise ValueError(f"{argument} must be at least two Keras models. Received: {names}")
    if len(set(names)) < len(names):
        raise ValueError(
            f"{argument} must have names of their own, which name their outputs: give each model "
            f"a name=. Received: {names}"
        )
    return dict(zip(names, models))


def ends(trunk):
    """A trunk's symbolic inputs and outputs, in their own structure."""
    inputs = trunk.inputs[0] if isinstance(trunk, keras.Sequential) else trunk.input
    return inputs, trunk(inputs)


def _check_models(models, trunk):
    for name, model in models.items():
        if not (isinstance(model, keras.Model) and model.built and model.weights):
            raise ValueError(
                "Models that learn together must be keras.Models that are built: start each with a "
                f"keras.Input, or call it once on a batch. Received: {name}={model!r}"
            )
        check_plain(name, model)
    if trunk is not None:
        if not (isinstance(trunk, keras.Model) and getattr(trunk, "inputs", None)):
            raise ValueError(
                f"trunk must be a keras.Model that starts with a keras.Input. Received: {trunk!r}"
            )
        check_plain("trunk", trunk)
        if trunk.name in [model.name for model in models.values()]:
            raise ValueError(
                f"trunk must have another name than the models behind it. Received: {trunk.name!r}"
            )
    shapes = [getattr(model, "output_shape", None) for model in models.values()]
    # The shape of a subclassed model is unknown here; the loss checks it.
    known = [shape for shape in shapes if shape is not None]
    if any(not (isinstance(s, tuple) and shapes_agree(known[0], s)) for s in known):
        raise ValueError(
            "Models that learn together must have one output each, all of the same shape. "
            f"Received: {dict(zip(models, shapes))}"
        )
    metrics = [metric.name for model in _parts(models, trunk) for metric in own_metrics(model)]
    if len(set(metrics)) < len(metrics):
        raise ValueError(
            "Models that learn together must have metrics with names of their own, which are those "
            f"of the history. Received: {metrics} of their layers."
        )
    weights = [id(weight) for model in _parts(models, trunk) for weight in model.weights]
    if len(set(weights)) < len(weights):
        raise ValueError(
            "Models that learn together must not hold the same layers, which would run twice and "
            "be two after loading: give those that they share as a trunk, where there is one."
        )


def _parts(models, trunk):
    return [*([] if trunk is None else [trunk]), *models.values()]


def _of_model(name, loss):
    return loss.get(name) if isinstance(loss, dict) else loss


def _copy(metric):
    """Copies a metric, because each output needs its own; a name needs no copy."""
    if isinstance(metric, keras.metrics.Metric):
        return type(metric).from_config(metric.get_config())
    return metric
