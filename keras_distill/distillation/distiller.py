"""Distiller: a Keras model whose train step teaches a student."""

import keras

from keras_distill._arguments.schedules import FRACTION
from keras_distill._arguments.schedules import NOT_NEGATIVE
from keras_distill._arguments.schedules import POSITIVE
from keras_distill._arguments.schedules import check_number
from keras_distill._arguments.schedules import is_schedule
from keras_distill._arguments.schedules import value_at
from keras_distill._keras.channel_axis import outputs_channels_last
from keras_distill._keras.compiled import own_loss
from keras_distill._keras.loss_config import serialize_losses
from keras_distill._keras.several_labels import remember
from keras_distill.callbacks.schedule_check import ScheduleCheck
from keras_distill.data.inputs import DistillationInputs
from keras_distill.data.inputs import example_index
from keras_distill.data.inputs import is_missing
from keras_distill.data.inputs import unpack
from keras_distill.distillation import first_batch
from keras_distill.distillation.history_names import check_names
from keras_distill.distillation.history_names import compiled_names
from keras_distill.distillation.history_names import metric_names
from keras_distill.distillation.loss_domains import check_default_soft_loss
from keras_distill.distillation.objective import check_objectives
from keras_distill.distillation.other_names import by_name
from keras_distill.distillation.saving import build_saved_objectives
from keras_distill.distillation.saving import save_objective_shapes
from keras_distill.distillation.soft_loss import checked_soft_loss
from keras_distill.distillation.soft_loss import heads_with_loss
from keras_distill.distillation.soft_loss import output_pairs
from keras_distill.distillation.soft_loss import temperatures
from keras_distill.distillation.student_hooks import has_own
from keras_distill.distillation.student_learner import check_student
from keras_distill.distillation.taps import current_recording
from keras_distill.distillation.teacher_student_learner import TeacherStudentLearner
from keras_distill.losses.outputs.soft_targets import SoftTargetKL


@keras.saving.register_keras_serializable(package="keras_distill")
class Distiller(TeacherStudentLearner):
    """Trains a small model (the student) to imitate a large one (the teacher).

    ```
    total = alpha * hard + (1 - alpha) * soft + sum(weight_i * objective_i) + regularisers
    hard  = the loss given to compile(), on the labels
    soft  = T^2 * KL(softmax(teacher / T) || softmax(student / T))
    ```

    A Distiller is an ordinary Keras model: compile, fit, evaluate, predict, callbacks and save
    work as usual. The student runs once per training step. The teacher runs in
    inference mode, is never changed, and is never saved. `evaluate` and `predict` use
    the student alone. Missing terms are treated as 0: without y there is no hard loss.

    If the student's class overrides `compute_loss`, that is the hard loss. It includes the
    regularisers, which then have the weight `alpha` there and `1 - alpha` beside the soft loss.
    Overridden `compute_metrics`, `get_metrics_result`, `predict_step`, `predict` and metrics work,
    too, and so does an overridden `compile` that was called before `fit`. A student that overrides
    `train_step`, `test_step`, `fit` or `evaluate` is refused. Only a KerasHub task's own `fit`
    calls its preprocessor: preprocess the data before you give them to a Distiller.

    Args:
        student: A built `keras.Model`. It is trained in place and stays a plain model.
        teacher: A `keras.Model`, or any function from inputs to a tensor or a nest of
            tensors; None if every batch carries the teacher's outputs
            (`DistillationInputs`). Outputs are logits or probabilities, see `soft_loss`.
        alpha: Weight of the hard loss, from 0 (the teacher only) to 1 (the labels
            only; the teacher then does not run unless an objective needs it): a float
            or a `LearningRateSchedule` of the optimizer's step. Papers differ: some
            write alpha for the weight of the soft loss. Defaults to 0.1.
        temperature: T of the default soft loss, a positive float or a
            `LearningRateSchedule`. None means 4, or the temperature of the `soft_loss`.
        soft_loss: Loss between the models' outputs: None for
            `losses.SoftTargetKL(temperature)`, or any `keras.losses.Loss` with y_true =
            teacher, y_pred = student. For several outputs: one loss for all, or a dict
            or list of losses with None for outputs without one. An output that ends in
            softmax or sigmoid is recognised by its last layer, and the loss is
            computed from the log of the probabilities. If no layer shows this but the
            first batch looks like probabilities, an error asks the loss to
            declare `teacher_from_logits` or `student_from_logits`.
        objectives: `Objective`s between hidden layers.
        teacher_metrics: Keras metrics with y_true = teacher, y_pred = student, such as
            `metrics.TeacherAgreement` and `metrics.Fidelity`, for a student with one output.
            They get logits, even if a model ends in a softmax.
        validate_with_teacher: Whether `evaluate` and validation add the soft loss, the
            objectives and the teacher_metrics, in inference mode. The teacher then runs there
            too.
        name: Name of the model.

    History: loss, hard_loss, soft_loss, one entry per objective and teacher metric, and the
    metrics of compile(). With several outputs, each has its own soft loss, such as
    topic_soft_loss. Validation has the entries of `student.evaluate`.

    Sample weights and Keras masks apply to the soft loss and to the objectives as well.
    If each output has its own sample weights, these do not apply to hidden layers, and
    the objectives are not weighted.

    Raises:
        ValueError: If an argument is out of range, the student is not built or overrides
            `train_step`, `test_step`, `fit` or `evaluate`, or `temperature` is given together
            with a `soft_loss`, which has its own; at the start of `fit`, before any training, if
            a schedule leaves its range within this `fit`, or the models' outputs, taps or the
            first batch do not fit together.

    Example:

    ```python
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.1, temperature=4.0)
    distiller.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    distiller.fit(x, y, epochs=5)
    distiller.student.save("student.keras")
    ```

    A Distiller that was saved and loaded continues training as soon as its teacher is set:

    ```python
    distiller = keras.models.load_model("distiller.keras")
    distiller.teacher = teacher
    ```

    Reference: Hinton et al. 2015, https://arxiv.org/abs/1503.02531. Deviations: the
    hard loss is weighted with alpha and the soft loss with 1 - alpha; the soft loss is
    the divergence, which has the gradient of the paper's cross-entropy.
    """

    fixed = ("student", "soft_loss", "objectives", "teacher_metrics")
    changeable = ("alpha", "temperature", "validate_with_teacher")
    remedy = "Make a new Distiller with it; what the student has learnt is in the student."

    @by_name
    def __init__(
        self,
        *,
        student,
        teacher=None,
        alpha=0.1,
        temperature=None,
        soft_loss=None,
        objectives=(),
        teacher_metrics=(),
        validate_with_teacher=False,
        name="distiller",
    ):
        check_student(student)
        alpha = check_number("alpha", alpha, FRACTION)
        soft_loss = checked_soft_loss(soft_loss)
        if soft_loss is None and temperature is None:
            temperature = 4.0
        temperature = _check_temperature(temperature, soft_loss)
        check_objectives(objectives)
        _check_teacher_metrics(teacher_metrics, {"loss", *(o.name for o in objectives)})
        # The student casts its own inputs; the rest of the batch keeps its dtypes.
        super().__init__(
            student,
            teacher,
            objectives,
            validate_with_teacher,
            name=name,
            dtype=student.dtype_policy,
            autocast=False,
        )
        self.alpha = alpha
        self.temperature = temperature
        self.soft_loss = soft_loss
        self.teacher_metrics = list(teacher_metrics)
        self._part_trackers = {part: keras.metrics.Mean(name=part) for part in self._parts}
        self.built = True

    def check_setting(self, name, value):
        if name == "alpha":
            return check_number("alpha", value, FRACTION)
        return _check_temperature(value, self.soft_loss) if name == "temperature" else value

    @property
    def _parts(self):
        """Names of the parts of the loss, as the history has them."""
        heads = heads_with_loss(self.soft_loss, self.student)
        objectives = [objective.name for objective in self.objectives]
        return ["hard_loss", "soft_loss", *(f"{head}_soft_loss" for head in heads), *objectives]

    @property
    def needs_teacher_output(self):
        return self._has_soft_loss or bool(self.teacher_metrics)

    @property
    def _has_soft_loss(self):
        return is_schedule(self.alpha) or self.alpha < 1

    @property
    def _has_hard_loss(self):
        return is_schedule(self.alpha) or self.alpha > 0

    @property
    def _loss_of_outputs(self):
        return SoftTargetKL(self.temperature) if self.soft_loss is None else self.soft_loss

    # The loss

    @property
    def taught_metrics(self):
        return [*self._part_trackers.values(), *self.teacher_metrics]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the total loss; without teacher activations in x, the student's own loss."""
        if not isinstance(x, DistillationInputs):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        step = 0 if self.optimizer is None else self.optimizer.iterations
        alpha = value_at(self.alpha, step)
        parts, terms, regularisers = {}, [], self.losses
        if has_own(self.student, "losses"):
            regularisers = [*self.student.losses, *(x for o in self.objectives for x in o.losses)]
        # This precedes the student's own loss, which may run its layers again.
        learnt = self.objectives and self.learnt(current_recording(), y_pred, x.teacher_outputs)
        if not self.has_own_loss:
            hard = self.compiled_loss(y, y_pred, sample_weight)
        elif self._has_hard_loss or y is not None:
            # The student's own loss includes its regularisers, if it has any.
            regularisers = [(1 - alpha) * loss for loss in self.student.losses]
            regularisers = regularisers if self._has_soft_loss else []
            regularisers += [loss for o in self.objectives for loss in o.losses]
            batch = x.student, y, y_pred, sample_weight
            hard = own_loss(self.student, self, *batch, training=training)
        else:
            hard = None
        if hard is not None:
            parts["hard_loss"] = hard
            if self._has_hard_loss:
                terms.append(alpha * hard)
        if self.needs_teacher_output:
            pairs = self._output_pairs(x.teacher_outputs["output"], y_pred, y, sample_weight)
            if self._has_soft_loss:
                given = {"example_index": example_index(x), "training": training}
                values = {f"{p.head}_soft_loss": p.value(step, **given) for p in pairs}
                parts["soft_loss"] = sum(values.values())
                parts |= {name: v for name, v in values.items() if name in self._part_trackers}
                terms.append((1 - alpha) * parts["soft_loss"])
            self._update_teacher_metrics(pairs)
        if self.objectives:
            values = self._objective_losses(
                x.teacher_outputs, learnt, x, y, sample_weight, training=training, step=step
            )
            parts |= values
            weights = [value_at(objective.weight, step) for objective in self.objectives]
            terms += [weight * value for weight, value in zip(weights, values.values())]
        batch_size = keras.ops.shape(keras.tree.flatten(y_pred)[0])[0]
        self.track(self._part_trackers, parts, batch_size)
        return self.total(terms, regularisers)

    def _update_teacher_metrics(self, pairs):
        if self.teacher_metrics and len(pairs) != 1:
            raise ValueError(
                "teacher_metrics need a student with one output. Received: "
                f"{len(pairs)} outputs that have a soft loss"
            )
        for metric in self.teacher_metrics:
            metric.update_state(*pairs[0].logits(), sample_weight=pairs[0].entry_weights())

    def _output_pairs(self, teacher_outputs, y_pred, y, sample_weight=None):
        return output_pairs(
            self._loss_of_outputs,
            (self.teacher, self.student),
            (teacher_outputs, outputs_channels_last(self.student, y_pred)),
            sample_weight,
            getattr(self, "output_names", None),
            labels=y,
        )

    def _objective_losses(
        self, taught, learnt, inputs, y, sample_weight=None, training=False, step=0
    ):
        """Returns `{name: loss}` of the objectives between the models' activations."""
        given = {
            "sample_weight": sample_weight,
            "labels": y if is_missing(inputs.labels) else inputs.labels,
        }
        # Labels and weights of several outputs do not apply to hidden layers.
        given = {
            name: None if isinstance(values, (dict, list, tuple)) else values
            for name, values in given.items()
        }
        given |= {"example_index": example_index(inputs), "training": training, "step": step}
        return {o.name: o(*o.pick(taught, learnt), **given) for o in self.objectives}

    # Before the first step

    def schedule_checks(self):
        weights = [(f"weight of {o.name!r}", o.weight, NOT_NEGATIVE) for o in self.objectives]
        losses = [self._loss_of_outputs, *(objective.loss for objective in self.objectives)]
        return [
            ScheduleCheck(self, [("alpha", self.alpha, FRACTION), *weights, *temperatures(losses)])
        ]

    def build_compile_state(self):
        """Builds the compile metrics and losses, and checks the names of the history."""
        remember(self.student, self.loss, self.soft_loss)
        inputs, y, sample_weight = unpack(self._batch_spec)
        self.check_labels(y)
        if self.soft_loss is None and self._has_soft_loss:
            check_default_soft_loss(self.loss, self.student)
        self.build_state((inputs.student, y, sample_weight))
        compiled = compiled_names(self, getattr(self, "output_names", None))
        check_names([*self._parts, *metric_names(self.teacher_metrics), *compiled])

    def check_train_batch(self, batch):
        _, y, _ = unpack(first_batch.local_batch(batch, self.distribute_strategy))
        if y is not None:
            self.check_classes("y", y)
        if y is None and not self.needs_teacher and not self.has_own_loss:
            raise ValueError("There is nothing to learn from: alpha is 1 and the data has no y.")
        has_loss = self._compile_loss is not None or self.has_own_loss
        if y is not None and self._has_hard_loss and not has_loss:
            raise ValueError(
                f"The data has labels and alpha is {self.alpha}, but compile() got no loss for "
                "them. Give compile(loss=...), or alpha=0 to learn from the teacher only."
            )
        self.check_batch(batch)

    def check_batch(self, batch):
        """Raises errors that only the values of a batch show: shapes, domains, NaN."""
        if not self.needs_teacher:
            return
        inputs, y, sample_weight = unpack(first_batch.local_batch(batch, self.distribute_strategy))
        batch_size = keras.tree.flatten(inputs.student)[0].shape[0]
        # The scope discards changes of state, such as batch normalization's moving statistics.
        with self.distribute_strategy.scope(), keras.StatelessScope():
            taught, learnt, y_pred = self.activations(inputs)
            first_batch.check_activations(taught, batch_size)
            if self.needs_teacher_output:
                pairs = self._output_pairs(taught["output"], y_pred, y, sample_weight)
                for pair in pairs:
                    pair.check_values()
                    pair.value(step=0, example_index=example_index(inputs))
                self._update_teacher_metrics(pairs)
            self._objective_losses(taught, learnt, inputs, y)

    # Saving

    def save_own_variables(self, store):
        save_objective_shapes(store, self.objectives)
        super().save_own_variables(store)

    def load_own_variables(self, store):
        build_saved_objectives(store, self.objectives)
        # A model that was not compiled, or was loaded with compile=False, has no optimizer.
        optimizer = getattr(self, "optimizer", None)
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.trainable_variables)
        super().load_own_variables(store)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "student": serialize(self.student),
            "alpha": serialize(self.alpha),
            "temperature": serialize(self.temperature),
            "soft_loss": serialize_losses(self.soft_loss),
            "objectives": [serialize(objective) for objective in self.objectives],
            "teacher_metrics": [serialize(metric) for metric in self.teacher_metrics],
            "validate_with_teacher": self.validate_with_teacher,
            "name": self.name,
        }


def _check_temperature(temperature, soft_loss):
    if soft_loss is None:
        return check_number("temperature", temperature, POSITIVE)
    if temperature is not None:
        raise ValueError(
            "temperature is that of the default soft loss, and a soft_loss has its own, or none. "
            f"Received: temperature={temperature!r} and {_names_of(soft_loss)} as soft_loss. Give "
            "it to the loss, as in soft_loss=keras_distill.losses.SoftTargetKL(temperature=...), "
            "or leave it out."
        )
    return None


def _names_of(losses):
    return ", ".join(type(loss).__name__ for loss in keras.tree.flatten(losses))


def _check_teacher_metrics(metrics, taken):
    names = [getattr(metric, "name", None) for metric in metrics]
    is_metric = all(isinstance(metric, keras.metrics.Metric) for metric in metrics)
    taken = taken | {"hard_loss", "soft_loss"}
    if not is_metric or len(set(names)) < len(names) or taken.intersection(names):
        raise ValueError(
            "teacher_metrics must be Keras metrics with names of their own, none of "
            f"{sorted(taken)}, such as "
            f"[keras_distill.metrics.TeacherAgreement()]. Received: {metrics!r}"
        )
