"""A learner that runs a teacher and a student on each batch, and checks both before the first."""

import warnings

import keras
import tensorflow as tf

from keras_distill._arguments.checks import check_function
from keras_distill._keras.raw_inputs import check_preprocessed
from keras_distill.data.inputs import DistillationInputs
from keras_distill.data.inputs import inputs_of
from keras_distill.data.inputs import is_missing
from keras_distill.data.inputs import unpack
from keras_distill.distillation import batch_specs
from keras_distill.distillation import first_batch
from keras_distill.distillation.input_gradients import follow
from keras_distill.distillation.input_gradients import student_gradients
from keras_distill.distillation.shared_weights import check_own_weights
from keras_distill.distillation.student_hooks import check_compiled
from keras_distill.distillation.student_learner import StudentLearner
from keras_distill.distillation.taps import Taps
from keras_distill.distillation.taps import current_recording
from keras_distill.distillation.teacher_pass import TeacherPass


class TeacherStudentLearner(StudentLearner):
    """A `StudentLearner` that runs a teacher beside its student, and reads layers of both.

    A subclass has the loss: it says whether it needs the teacher's output, and implements
    `build_compile_state`, `check_train_batch` and `check_batch`, which run in this order before
    the first step.

    Args:
        student: A built `keras.Model`.
        teacher: A `keras.Model`, a function from inputs to a nest of tensors, or None.
        objectives: List of `Objective`s, which name the layers that are read.
        validate_with_teacher: Whether the teacher runs in evaluation, too.
        **kwargs: Arguments of `keras.Model`.
    """

    untracked = (*StudentLearner.untracked, "teacher")
    unsaved = (*StudentLearner.unsaved, "teacher")

    def __init__(self, student, teacher, objectives, validate_with_teacher, **kwargs):
        super().__init__(**kwargs)
        self.student = student
        self.objectives = list(objectives)
        self.validate_with_teacher = validate_with_teacher
        self._student_taps = Taps(
            student, [path for objective in self.objectives for path in objective.student_paths]
        )
        self.teacher = teacher

    @property
    def teacher(self):
        """The teacher: a Keras model, a function, or None."""
        return self._teacher_pass.teacher

    @teacher.setter
    def teacher(self, teacher):
        if teacher is not None:
            message = "teacher must be a keras.Model, a function from inputs to tensors, or None."
            check_function("teacher", teacher, message)
            _warn_if_larger(self.student, teacher)
        paths = {path for objective in self.objectives for path in objective.teacher_paths}
        self._teacher_pass = TeacherPass(teacher, paths, self.objectives)
        self.supports_jit = self._teacher_pass.supports_jit
        self.train_function = self.test_function = None

    # What a subclass answers

    @property
    def needs_teacher_output(self):
        """Whether training needs the teacher's output, and not its hidden layers alone."""
        raise NotImplementedError

    def build_compile_state(self):
        """Builds what compile() was given, such as metrics, for the batches of `_batch_spec`."""
        raise NotImplementedError

    def check_train_batch(self, batch):
        """Raises errors that only the values of the first batch of a training show."""
        raise NotImplementedError

    def check_batch(self, batch):
        """Raises errors that only the values of the first batch of any pass show."""
        raise NotImplementedError

    @property
    def needs_teacher(self):
        """Whether training needs the teacher's outputs; otherwise the teacher does not run."""
        return self.needs_teacher_output or bool(self.objectives)

    # What Keras calls in a step

    def call(self, inputs, training=None):
        """Returns the student's outputs."""
        if isinstance(inputs, DistillationInputs):
            inputs = inputs.student
        recording = current_recording()
        with follow(self.objectives, "student", self.student, recording, inputs) as inputs:
            return self.student(inputs, training=training)

    def train_step(self, data):
        with self._student_taps.record():
            return super().train_step(self.with_teacher(data))

    def test_step(self, data):
        if not self.validate_with_teacher:
            return super().test_step(data)
        with self._student_taps.record():
            # This skips StudentLearner.test_step, which tests the student without the teacher.
            return super(StudentLearner, self).test_step(self.with_teacher(data))

    def check_validation(self, has_labels):
        if not self.validate_with_teacher:
            super().check_validation(has_labels)

    def with_teacher(self, data):
        """Adds the teacher's activations to a batch, outside the gradient tape."""
        inputs, y, sample_weight = unpack(data)
        if not self.needs_teacher:
            return DistillationInputs(inputs.student), y, sample_weight
        activations = self._teacher_pass(inputs, self.needs_teacher_output)
        # The student waits for the teacher: run in parallel, they would compete for the cores.
        with tf.control_dependencies(keras.tree.flatten(activations)):
            student_inputs = keras.tree.map_structure(
                lambda x: None if x is None else tf.identity(x), inputs.student
            )
        batch = inputs._replace(student=student_inputs, teacher=(), teacher_outputs=activations)
        return batch, y, sample_weight

    # Before the first step

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            self._check_hooks()
            if self.needs_teacher:
                check_own_weights(self.teacher, self.student)
            # Projectors are built before the callbacks run, so that BackupAndRestore finds them.
            self._build_objectives()
            self.build_compile_state()
            super().make_train_function(force)
            self.train_function = first_batch.checked(
                self.train_function, self.check_train_batch, self.steps_per_execution
            )

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            self._check_hooks(in_training=False)
            if self.validate_with_teacher:
                self._build_objectives()
            if all(objective.built for objective in self.objectives):
                self.build_compile_state()
            super().make_test_function(force)
            if self.validate_with_teacher:
                self.test_function = first_batch.checked(
                    self.test_function, self.check_batch, self.steps_per_execution
                )

    def _check_hooks(self, in_training=True):
        check_compiled(self.student)
        # fit() has checked x except for a generator, whose inputs show only in its batches.
        self.check_inputs("x", unpack(self._batch_spec)[0], in_training)

    def check_inputs(self, argument, x, in_training=True):
        inputs = inputs_of(x)
        check_preprocessed("student", self.student, argument, inputs.student)
        has_teacher = self.needs_teacher and (in_training or self.validate_with_teacher)
        if has_teacher and is_missing(inputs.teacher_outputs):
            view = inputs.student if is_missing(inputs.teacher) else inputs.teacher
            check_preprocessed("teacher", self.teacher, argument, view)

    def _build_objectives(self):
        if all(objective.built for objective in self.objectives):
            return
        taught, learnt, _ = batch_specs.shapes_of(
            lambda batch: self.activations(unpack(batch)[0]), self._batch_spec
        )
        with self.distribute_strategy.scope():
            for objective in self.objectives:
                if not objective.built:
                    objective.build(*objective.pick(taught, learnt))

    def check_ahead(self, batch):
        """Checks a batch as `fit` does before its first step, and builds the objectives."""
        self.see_data(data_batch=batch)
        self.check_labels(unpack(batch)[1])
        self._build_objectives()
        self.check_train_batch(batch)

    # The passes

    def activations(self, inputs):
        """Both models' activations, in inference mode, and the student's outputs."""
        taught = self._teacher_pass(inputs, self.needs_teacher_output)
        with self._student_taps.record() as recording:
            y_pred = self(inputs, training=False)
        return taught, self.learnt(recording, y_pred, taught), y_pred

    def learnt(self, recording, y_pred, taught):
        """The student's activations in a pass, and its input gradients."""
        learnt = self._student_taps.activations(recording, y_pred)
        return learnt | student_gradients(self.objectives, recording, learnt, taught)


def _warn_if_larger(student, teacher):
    if not (isinstance(teacher, keras.layers.Layer) and teacher.built):
        return  # A function does not say how large it is.
    sizes = student.count_params(), teacher.count_params()
    if sizes[0] > sizes[1] > 0:
        # The level is that of the line that makes a Distiller.
        warnings.warn(
            "The student has more parameters than its teacher. Received: a student of "
            f"{sizes[0]:,}, a teacher of {sizes[1]:,}. Are the two swapped?",
            stacklevel=5,
        )
