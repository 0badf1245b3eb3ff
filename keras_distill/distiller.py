"""Distiller: a Keras model whose train step teaches a student."""

import keras
import numpy as np
import tensorflow as tf

from keras_distill import first_batch
from keras_distill.inputs import DistillationInputs
from keras_distill.inputs import is_missing
from keras_distill.inputs import unpack
from keras_distill.losses.outputs import OutputLoss
from keras_distill.losses.outputs import TemperatureLoss
from keras_distill.losses.soft_targets import SoftTargetKL
from keras_distill.objective import Objective
from keras_distill.output_domain import output_domains
from keras_distill.outputs import output_pairs
from keras_distill.outputs import per_output
from keras_distill.outputs import whole_output
from keras_distill.schedules import check_number
from keras_distill.schedules import is_schedule
from keras_distill.schedules import value_at
from keras_distill.taps import Taps
from keras_distill.taps import current_recording
from keras_distill.weights import fit_weights


@keras.saving.register_keras_serializable(package="keras_distill")
class Distiller(keras.Model):
    """Trains a small model, the student, to do what a large one, the teacher, does.

    ```
    total = alpha * hard + (1 - alpha) * soft + sum(weight_i * objective_i) + regularisers
    hard  = the loss given to compile(), on the labels
    soft  = T^2 * KL(softmax(teacher / T) || softmax(student / T))
    ```

    A Keras model like any other: compile, fit, evaluate, predict, callbacks and save
    work as usual. The student runs once per training step. The teacher runs in
    inference mode, is never changed, and is never saved. `evaluate` and `predict` are
    those of the student alone. A term that is missing counts 0: without y there is no
    hard loss.

    Args:
        student: A built `keras.Model`. It is trained in place and stays a plain model.
        teacher: A `keras.Model`, or any function from inputs to a tensor or a nest of
            tensors; None if every batch carries the teacher's outputs
            (`DistillationInputs`). In logits or probabilities, see `soft_loss`.
        alpha: Weight of the hard loss, from 0 (the teacher only) to 1 (the labels
            only; the teacher then does not run unless an objective needs it): a float
            or a `LearningRateSchedule` of the optimizer's step. Papers differ: some
            write alpha for the weight of the soft loss. Defaults to 0.1.
        temperature: T of the default soft loss, a positive float or a
            `LearningRateSchedule`. A `soft_loss` has its own. Defaults to 4.
        soft_loss: Loss between the models' outputs: None for
            `losses.SoftTargetKL(temperature)`, any `keras.losses.Loss` with y_true =
            teacher, y_pred = student; for several outputs one loss for all, or a dict
            or list of losses, None for outputs without one. An output that ends in
            softmax or sigmoid is recognised by its last layer, and the loss is
            computed from the log of the probabilities. Where no layer says so but the
            first batch looks like probabilities, it is an error until the loss
            declares `teacher_from_logits` or `student_from_logits`.
        objectives: `Objective`s between hidden layers.
        validate_with_teacher: Whether `evaluate` and validation add the soft loss and
            the objectives, in inference mode. The teacher then runs there too.
        name: Name of the model.

    History: loss, hard_loss, soft_loss, one entry per objective, and the metrics of
    compile(). Validation has what `student.evaluate` has.

    Sample weights and Keras masks apply to the soft loss and to the objectives as well.
    If each output has weights of its own, these say nothing about hidden layers, and
    the objectives go unweighted.

    Raises:
        ValueError: If an argument is out of range or the student is not built; at the
            first batch, before any training, if the models' outputs, taps or the
            batch do not fit together.

    Example:

    ```python
    distiller = kd.Distiller(student, teacher, alpha=0.1, temperature=4.0)
    distiller.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    distiller.fit(x, y, epochs=5)
    distiller.student.save("student.keras")
    ```

    Saved and reloaded, a Distiller goes on where it stopped once the teacher is set:

    ```python
    distiller = keras.models.load_model("distiller.keras")
    distiller.teacher = teacher
    ```

    Reference: Hinton et al. 2015, https://arxiv.org/abs/1503.02531. Deviations: the
    hard loss is weighted with alpha and the soft loss with 1 - alpha; the soft loss is
    the divergence, which has the gradient of the paper's cross-entropy.
    """

    def __init__(
        self,
        student,
        teacher=None,
        *,
        alpha=0.1,
        temperature=4.0,
        soft_loss=None,
        objectives=(),
        validate_with_teacher=False,
        name="distiller",
    ):
        _check_student(student)
        check_number("alpha", alpha, "a number from 0 to 1", lambda a: 0 <= a <= 1)
        SoftTargetKL(temperature)  # Checks it.
        _check_soft_loss(soft_loss)
        _check_objectives(objectives)
        # The student casts its own inputs; what the batch carries for others stays as it is.
        super().__init__(name=name, dtype=student.dtype_policy, autocast=False)
        self.student = student
        self.alpha = alpha
        self.temperature = temperature
        self.soft_loss = soft_loss
        self.objectives = list(objectives)
        self.validate_with_teacher = validate_with_teacher
        self._part_trackers = {
            part: keras.metrics.Mean(name=part)
            for part in ("hard_loss", "soft_loss", *(o.name for o in self.objectives))
        }
        self._student_taps = Taps(student, [o.student for o in self.objectives])
        self.teacher = teacher
        self.built = True

    # The teacher

    @property
    def teacher(self):
        """The teacher: a Keras model, a function, or None."""
        return self._teacher

    @teacher.setter
    def teacher(self, teacher):
        if teacher is not None and not callable(teacher):
            raise ValueError(
                "teacher must be a keras.Model, a function from inputs to tensors, or None. "
                f"Received: teacher={teacher!r}"
            )
        object.__setattr__(self, "_teacher", teacher)
        paths = {objective.teacher for objective in self.objectives}
        object.__setattr__(self, "_teacher_taps", Taps(teacher, paths))
        object.__setattr__(self, "_carried_taps", Taps(None, paths))
        layers = teacher._flatten_layers() if isinstance(teacher, keras.layers.Layer) else ()
        self.supports_jit = all(layer.supports_jit for layer in layers)
        self.train_function = self.test_function = None

    def __setattr__(self, name, value):
        if name == "teacher":
            # Past Keras, which would make the teacher a part of this model: of its weights,
            # its checkpoints and its exports.
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __dir__(self):
        # Keras's saver stores every layer that it finds by dir().
        return [name for name in super().__dir__() if "teacher" not in name]

    @property
    def _needs_teacher(self):
        return self._has_soft_loss or bool(self.objectives)

    @property
    def _has_soft_loss(self):
        return is_schedule(self.alpha) or self.alpha < 1

    def _teacher_activations(self, inputs):
        """Returns `{path: activation}` of the teacher for a batch, "output" among them.

        The teacher runs only if the batch does not carry its outputs.
        """
        teacher = self.teacher
        if not is_missing(inputs.teacher_outputs):
            outputs = inputs.teacher_outputs
            activations = self._carried_taps.activations(None, outputs)
        elif teacher is None:
            raise ValueError(
                "The Distiller has no teacher, and the batch carries no teacher_outputs. Set "
                "distiller.teacher (it is not saved with the model), or give x as "
                "DistillationInputs(student=..., teacher_outputs=...)."
            )
        else:
            x = inputs.student if is_missing(inputs.teacher) else inputs.teacher
            with self._teacher_taps.record() as recording:
                if getattr(teacher, "_call_has_training_arg", False):
                    outputs = teacher(x, training=False)
                else:
                    outputs = teacher(x)
            activations = self._teacher_taps.activations(recording, outputs)
        if self._has_soft_loss:
            activations["output"] = whole_output(outputs)
        first_batch.check_float(activations)
        return keras.tree.map_structure(tf.stop_gradient, activations)

    # What Keras calls in a step

    def call(self, inputs, training=None):
        """Returns the student's outputs."""
        if isinstance(inputs, DistillationInputs):
            inputs = inputs.student
        return self.student(inputs, training=training)

    @property
    def output_names(self):
        # AttributeError for a student that names none: Keras asks with hasattr().
        return self.student.output_names

    def train_step(self, data):
        with self._student_taps.record():
            return super().train_step(self._with_teacher(data))

    def test_step(self, data):
        if self.validate_with_teacher:
            with self._student_taps.record():
                return super().test_step(self._with_teacher(data))
        inputs, y, sample_weight = unpack(data)
        logs = super().test_step((inputs.student, y, sample_weight))
        absent = set(self._part_trackers)
        if y is None or self._compile_loss is None:
            # No loss was computed; a callback that monitors it must not see a 0.
            absent.add("loss")
        logs = {name: value for name, value in logs.items() if name not in absent}
        if not logs:
            raise ValueError(
                "Evaluation has nothing to measure: it needs labels and compile(loss=...) or "
                "compile(metrics=...), or validate_with_teacher=True."
            )
        return logs

    def predict_step(self, data):
        return super().predict_step((unpack(data)[0].student,))

    def _with_teacher(self, data):
        """The batch with the teacher's activations, outside the tape."""
        inputs, y, sample_weight = unpack(data)
        activations = self._teacher_activations(inputs) if self._needs_teacher else ()
        return DistillationInputs(inputs.student, (), activations), y, sample_weight

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the total loss; without teacher activations in x, the student's own loss."""
        hard = None
        if y is not None and self._compile_loss is not None:
            hard = self._compile_loss(y, y_pred, sample_weight)
        if not (isinstance(x, DistillationInputs) and (training or self.validate_with_teacher)):
            terms = [hard] if hard is not None else []
            return self._total(terms, self.student.losses)

        step = 0 if self.optimizer is None else self.optimizer.iterations
        alpha = value_at(self.alpha, step)
        parts, terms = {}, []
        if hard is not None:
            parts["hard_loss"] = hard
            terms.append(alpha * hard)
        if self._has_soft_loss:
            outputs = x.teacher_outputs["output"]
            parts["soft_loss"] = self._soft_loss(outputs, y_pred, sample_weight, step)
            terms.append((1 - alpha) * parts["soft_loss"])
        for objective, value in self._objective_losses(x.teacher_outputs, y_pred, sample_weight):
            parts[objective.name] = value
            terms.append(value_at(objective.weight, step) * value)
        self._track(parts, y_pred)
        return self._total(terms, self.losses)

    def _total(self, terms, regularisers):
        terms = terms + [self._aggregate_additional_loss(loss) for loss in regularisers]
        return sum(terms) if terms else keras.ops.zeros(())

    def _track(self, parts, y_pred):
        batch_size = keras.ops.shape(keras.tree.flatten(y_pred)[0])[0]
        # Keras's losses divide by the number of replicas, so that their sum is the mean.
        num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
        for name, value in parts.items():
            tracker = self._part_trackers[name]
            tracker.update_state(value * num_replicas, sample_weight=batch_size)

    def _soft_loss(self, teacher_outputs, y_pred, sample_weight, step):
        names = getattr(self, "output_names", None)
        weights = per_output("sample_weight", sample_weight, y_pred, names)
        total = 0.0
        for pair, weight in zip(self._output_pairs(teacher_outputs, y_pred), weights):
            loss = pair.loss
            if isinstance(loss, OutputLoss):
                loss = loss.with_settings(**pair.from_logits())
            if isinstance(loss, TemperatureLoss):
                loss = loss.at_step(step)
            rank = len(pair.student.shape) - 1
            total += loss(pair.teacher, pair.student, fit_weights(weight, rank))
        return total

    def _output_pairs(self, teacher_outputs, y_pred):
        """Lists the outputs that have a soft loss."""
        return output_pairs(
            loss=SoftTargetKL(self.temperature) if self.soft_loss is None else self.soft_loss,
            teacher=teacher_outputs,
            student=y_pred,
            teacher_domains=output_domains(self.teacher),
            student_domains=output_domains(self.student),
            output_names=getattr(self, "output_names", None),
        )

    def _objective_losses(self, teacher_activations, y_pred, sample_weight):
        """Yields each objective with its value."""
        if not self.objectives:
            return
        student_activations = self._student_taps.activations(current_recording(), y_pred)
        if isinstance(sample_weight, (dict, list, tuple)):
            sample_weight = None
        for objective in self.objectives:
            teacher = teacher_activations[objective.teacher]
            student = student_activations[objective.student]
            yield objective, objective(teacher, student, sample_weight=sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if y is None:
            return self.get_metrics_result()
        return super().compute_metrics(x, y, y_pred, sample_weight)

    @property
    def metrics(self):
        # Keras's container of the compile metrics has no result before it has seen labels.
        unbuilt = [m for m in [self._compile_metrics] if m is not None and not m.built]
        return [metric for metric in super().metrics if metric not in unbuilt]

    def _get_metrics_result_or_logs(self, logs):
        # Keras takes the results over all replicas only if the step has logged every metric.
        results = self.get_metrics_result()
        return {name: results.get(name, value) for name, value in logs.items()}

    # Before the first step

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            super().make_train_function(force)
            self.train_function = first_batch.checked(
                self.train_function, self._check_train_batch, self.steps_per_execution
            )

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            super().make_test_function(force)
            if self.validate_with_teacher:
                self.test_function = first_batch.checked(
                    self.test_function, self._check_batch, self.steps_per_execution
                )

    def _check_train_batch(self, batch):
        _, y, _ = unpack(first_batch.local_batch(batch, self.distribute_strategy))
        if y is None and not self._needs_teacher:
            raise ValueError("There is nothing to learn from: alpha is 1 and the data has no y.")
        uses_labels = is_schedule(self.alpha) or self.alpha > 0
        if y is not None and uses_labels and self._compile_loss is None:
            raise ValueError(
                f"The data has labels and alpha is {self.alpha}, but compile() got no loss for "
                "them. Give compile(loss=...), or alpha=0 to learn from the teacher only."
            )
        self._check_batch(batch)

    def _check_batch(self, batch):
        if not self._needs_teacher:
            return
        inputs, _, _ = unpack(first_batch.local_batch(batch, self.distribute_strategy))
        batch_size = len(keras.tree.flatten(inputs.student)[0])
        # What the models change when they run is thrown away with the scope.
        with self.distribute_strategy.scope(), keras.StatelessScope():
            activations = self._teacher_activations(inputs)
            first_batch.check_activations(activations, batch_size)
            with self._student_taps.record():
                y_pred = self(inputs, training=False)
                if self._has_soft_loss:
                    for pair in self._output_pairs(activations["output"], y_pred):
                        pair.check_values()
                    self._soft_loss(activations["output"], y_pred, None, step=0)
                for _ in self._objective_losses(activations, y_pred, None):
                    pass

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras calls this with the data before the callbacks run: a BackupAndRestore among
        # them finds the projectors built. And a step that creates no variable is traced once.
        spec = first_batch.batch_spec(iterator, data_batch)
        if not all(objective.built for objective in self.objectives):
            self._build_objectives(spec)
        inputs, y, sample_weight = unpack(spec)
        student_batch = inputs.student, y, sample_weight
        if first_batch.is_dense(student_batch):
            with self.distribute_strategy.scope():
                self._symbolic_build(data_batch=student_batch)

    def _build_objectives(self, spec):
        shapes = {}

        @tf.function
        def trace():
            inputs, _, _ = unpack(keras.tree.map_structure(_placeholder, spec))
            teacher = self._teacher_activations(inputs)
            with self._student_taps.record() as recording:
                y_pred = self(inputs, training=False)
            student = self._student_taps.activations(recording, y_pred)
            for objective in self.objectives:
                paths = objective.teacher, objective.student
                shapes[objective.name] = teacher[paths[0]].shape, student[paths[1]].shape

        trace.get_concrete_function()
        with self.distribute_strategy.scope():
            for objective in self.objectives:
                if not objective.built:
                    objective.build(*(tuple(shape) for shape in shapes[objective.name]))

    # Saving

    def save_own_variables(self, store):
        # With the shapes, the projectors can be built before their weights are loaded.
        for index, objective in enumerate(self.objectives):
            if objective.built:
                for name, shape in objective.get_build_config()["shapes_dict"].items():
                    sizes = [-1 if size is None else size for size in shape]
                    store[f"objective_{index}_{name}"] = np.array(sizes)
        # Keras saves no random states; without them dropout would start anew on resuming.
        for index, state in enumerate(self._random_states()):
            store[f"random_state_{index}"] = state.numpy()

    def load_own_variables(self, store):
        for index, objective in enumerate(self.objectives):
            key = f"objective_{index}_teacher_shape"
            if not objective.built and key in store.keys():
                sizes = store[key], store[f"objective_{index}_student_shape"]
                objective.build(*([None if s < 0 else int(s) for s in shape] for shape in sizes))
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        for index, state in enumerate(self._random_states()):
            if f"random_state_{index}" in store.keys():
                state.assign(store[f"random_state_{index}"])

    def _random_states(self):
        others = {id(variable) for variable in self.weights + self.metrics_variables}
        return [variable for variable in self.variables if id(variable) not in others]

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "student": serialize(self.student),
            "alpha": serialize(self.alpha),
            "temperature": serialize(self.temperature),
            "soft_loss": serialize(self.soft_loss),
            "objectives": [serialize(objective) for objective in self.objectives],
            "validate_with_teacher": self.validate_with_teacher,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))


def _placeholder(spec):
    return None if spec is None else tf.compat.v1.placeholder(spec.dtype, spec.shape)


def _check_student(student):
    if not isinstance(student, keras.Model):
        raise ValueError(f"student must be a keras.Model. Received: student={student!r}")
    if not (student.built and student.weights):
        raise ValueError(
            f"student {student.name!r} is not built, so it has no weights to train. Start it with "
            "a keras.Input, or call it once on a batch."
        )


def _check_soft_loss(soft_loss):
    for loss in keras.tree.flatten(soft_loss):
        if not (loss is None or isinstance(loss, keras.losses.Loss)):
            raise ValueError(
                "soft_loss must be a keras.losses.Loss, or a dict or list of them, such as "
                f"keras_distill.losses.SoftTargetKL(temperature=4.0). Received: {loss!r}"
            )


def _check_objectives(objectives):
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
