"""A learner with one student, which evaluates, predicts and is exported like a plain model."""

import keras

from keras_distill._keras.compiled import compiled_as
from keras_distill._keras.compiled import loss_metrics
from keras_distill._keras.compiled import own_loss
from keras_distill._keras.compiled import own_metrics
from keras_distill._keras.raw_inputs import check_preprocessed
from keras_distill.data.inputs import DistillationInputs
from keras_distill.data.inputs import inputs_of
from keras_distill.data.inputs import student_view
from keras_distill.data.inputs import unpack
from keras_distill.distillation.label_checks import check_class_weight
from keras_distill.distillation.label_checks import check_classes
from keras_distill.distillation.label_checks import known_outputs
from keras_distill.distillation.learner import Learner
from keras_distill.distillation.loss_domains import check_takes_logits
from keras_distill.distillation.outputs import check_labels
from keras_distill.distillation.student_hooks import check_steps
from keras_distill.distillation.student_hooks import has_own
from keras_distill.distillation.student_hooks import overrides


class StudentLearner(Learner):
    """A `Learner` with one student, in its attribute `student`.

    `evaluate` and `predict` use the student, and methods that the student's class overrides are
    called: `compute_loss`, `compute_metrics`, `get_metrics_result`, `reset_metrics`,
    `predict_step`, `predict` and `predict_on_batch`.
    """

    unsaved = (*Learner.unsaved, "taught_metrics")

    @property
    def students(self):
        return [self.student]

    @property
    def taught_metrics(self):
        """Lists the metrics that only training updates, not an evaluation of the student."""
        return []

    @property
    def has_own_loss(self):
        """Whether the student's class overrides `compute_loss`, which is then the hard loss."""
        return has_own(self.student, "compute_loss")

    @property
    def output_names(self):
        # A student without names raises AttributeError, which Keras's hasattr() expects.
        return self.student.output_names

    # Evaluation and prediction

    def test_step(self, data):
        inputs, y, sample_weight = unpack(data)
        self.check_validation(has_labels=y is not None)
        logs = super().test_step((inputs.student, y, sample_weight))
        absent = {metric.name for metric in self._idle_metrics(has_labels=y is not None)}
        return {name: value for name, value in logs.items() if name not in absent}

    def check_validation(self, has_labels):
        if not self.compiled:
            return
        idle = self._idle_metrics(has_labels)
        if all(metric in idle for metric in super().metrics):
            raise ValueError(
                "Evaluation has nothing to measure: it needs labels and compile(loss=...) or "
                "compile(metrics=...), or validate_with_teacher=True."
            )

    def _idle_metrics(self, has_labels):
        """The metrics that the student alone does not update in evaluation."""
        idle = self.taught_metrics + ([] if has_labels else self._label_metrics)
        has_loss = has_labels and self._compile_loss is not None
        if not (has_loss or self.has_own_loss):
            # No loss is computed; a callback that monitors the loss must not see a 0.
            idle.append(self._loss_tracker)
        return idle

    def predict_step(self, data):
        data = (unpack(data)[0].student,)
        if has_own(self.student, "predict_step"):
            return self.student.predict_step(data)
        return super().predict_step(data)

    def predict(self, x, *args, **kwargs):
        """As `student.predict`; `DistillationInputs` are reduced to the student's inputs."""
        check_preprocessed("student", self.student, "x", inputs_of(x).student)
        if overrides(self.student, "predict"):
            return self.student.predict(student_view(x), *args, **kwargs)
        return super().predict(x, *args, **kwargs)

    def predict_on_batch(self, x):
        """As `student.predict_on_batch`, with the student's part of `DistillationInputs`."""
        check_preprocessed("student", self.student, "x", inputs_of(x).student)
        if overrides(self.student, "predict_on_batch"):
            return self.student.predict_on_batch(student_view(x))
        return super().predict_on_batch(x)

    def export(self, filepath, *args, **kwargs):
        """As `student.export`: exports the student alone, which `predict` also runs."""
        return self.student.export(filepath, *args, **kwargs)

    # Loss and metrics

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the student's own loss, or that of compile(), and its regularisers."""
        if self.has_own_loss:
            return own_loss(self.student, self, x, y, y_pred, sample_weight, training=training)
        hard = self.compiled_loss(y, y_pred, sample_weight)
        return self.total([] if hard is None else [hard], self.student.losses)

    def compiled_loss(self, y, y_pred, sample_weight):
        """The loss of compile() on the labels; None without labels or loss."""
        if y is None or self._compile_loss is None:
            return None
        return self._compile_loss(y, y_pred, sample_weight)

    def total(self, terms, regularisers):
        """The sum of a loss's terms and of regularisers, each of which counts once per batch."""
        terms = terms + [self._aggregate_additional_loss(loss) for loss in regularisers]
        return sum(terms) if terms else keras.ops.zeros(())

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if has_own(self.student, "compute_metrics"):
            x = x.student if isinstance(x, DistillationInputs) else x
            with compiled_as(self.student, self):
                logs = self.student.compute_metrics(x, y, y_pred, sample_weight)
            return {**logs, **{m.name: m.result() for m in self._own_trackers}}
        if y is None and not has_own(self.student, "get_metrics_result"):
            return {m.name: m.result() for m in self.metrics if m not in self._label_metrics}
        if y is None:
            return self.get_metrics_result()
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_metrics_result(self):
        """As `keras.Model.get_metrics_result`, or as the student overrides it."""
        if not has_own(self.student, "get_metrics_result"):
            return super().get_metrics_result()
        with compiled_as(self.student, self):
            logs = self.student.get_metrics_result()
        return {**logs, **{m.name: m.result() for m in self._own_trackers}}

    @property
    def _label_metrics(self):
        of_compile = [] if self._compile_metrics is None else [self._compile_metrics]
        return [*of_compile, *loss_metrics(self)]

    @property
    def metrics(self):
        # Keras's container of the compile metrics has no result before it has seen labels.
        unbuilt = [m for m in [self._compile_metrics] if m is not None and not m.built]
        metrics = [metric for metric in super().metrics if metric not in unbuilt]
        # Keras leaves out the metrics of a model inside another model.
        taken = {metric.name for metric in metrics}
        return metrics + [m for m in own_metrics(self.student) if m.name not in taken]

    @property
    def _own_trackers(self):
        return [self._loss_tracker, *self.taught_metrics]

    def reset_metrics(self):
        super().reset_metrics()
        for metric in own_metrics(self.student):
            metric.reset_state()
        if has_own(self.student, "reset_metrics"):
            self.student.reset_metrics()

    # Labels

    def check_classes(self, argument, y):
        if not self.has_own_loss:
            outputs = known_outputs(self.student)
            check_classes(argument, y, self.loss, outputs, getattr(self, "output_names", None))

    def check_class_weight(self, class_weight):
        loss = None if self.has_own_loss else self.loss
        return check_class_weight(class_weight, loss, known_outputs(self.student))

    def check_labels(self, y):
        """Raises `ValueError` for labels, or specs of them, that the loss cannot take."""
        if not self.has_own_loss:  # An own loss may read labels of any structure.
            check_labels(y, self.loss, getattr(self.student, "output", None))
            if y is not None:
                self.check_classes("y", y)
                check_takes_logits(self.loss, self.student)


def check_student(student):
    """Raises `ValueError` unless this is a built model that learns by Keras's own steps."""
    if not isinstance(student, keras.Model):
        raise ValueError(f"student must be a keras.Model. Received: student={student!r}")
    if not (student.built and student.weights):
        raise ValueError(
            f"student {student.name!r} is not built, so it has no weights to train. Start it with "
            "a keras.Input, or call it once on a batch."
        )
    check_steps("student", student)
