"""The teacher's activations for a batch: computed now, or carried by the batch."""

import keras
import tensorflow as tf

from keras_distill._keras.channel_axis import outputs_channels_last
from keras_distill._keras.layers import flatten_layers
from keras_distill._keras.layers import takes_training
from keras_distill._keras.signatures import call_signature
from keras_distill._keras.signatures import is_signature
from keras_distill.data.inputs import is_missing
from keras_distill.distillation.first_batch import check_float
from keras_distill.distillation.input_gradients import check_not_carried
from keras_distill.distillation.input_gradients import follow
from keras_distill.distillation.input_gradients import teacher_gradients
from keras_distill.distillation.outputs import whole_output
from keras_distill.distillation.taps import Taps


class TeacherPass:
    """Runs a teacher, or reads the teacher's outputs from the batch.

    Args:
        teacher: A `keras.Model`, a function, or None.
        paths: Paths of the activations to return, as `Objective` takes them.
        objectives: `Objective`s; those on input gradients get the teacher's gradients.
    """

    def __init__(self, teacher, paths, objectives=()):
        self.teacher = teacher
        self._objectives = objectives
        self._taps = Taps(teacher, paths)
        self._carried_taps = Taps(None, paths)

    @property
    def supports_jit(self):
        """Whether XLA can compile the teacher, according to its layers."""
        if not isinstance(self.teacher, keras.layers.Layer):
            return getattr(self.teacher, "supports_jit", True)
        return all(layer.supports_jit for layer in flatten_layers(self.teacher))

    def __call__(self, inputs, with_output):
        """Returns `{path: activation}` for `DistillationInputs`.

        The teacher runs only if the batch does not carry its outputs, and then in
        inference mode, without gradients. Feature maps have their channels last.

        Args:
            inputs: The batch's `DistillationInputs`.
            with_output: Whether to return the teacher's output as well, as "output".
        """
        if not is_missing(inputs.teacher_outputs):
            check_not_carried(self._objectives)
            outputs, recording = inputs.teacher_outputs, None
            activations = self._carried_taps.activations(None, outputs)
        else:
            outputs, activations, recording = self._run(inputs)
            outputs = outputs_channels_last(self.teacher, outputs)
        activations |= teacher_gradients(self._objectives, recording, activations)
        if with_output:
            activations["output"] = whole_output(outputs)
        check_float(activations)
        return keras.tree.map_structure(tf.stop_gradient, activations)

    def _run(self, inputs):
        if self.teacher is None:
            raise ValueError(
                "The Distiller has no teacher, and the batch carries no teacher_outputs. Set "
                "distiller.teacher (it is not saved with the model), or give x as "
                "DistillationInputs(student=..., teacher_outputs=...)."
            )
        x = inputs.student if is_missing(inputs.teacher) else inputs.teacher
        with (
            self._taps.record() as recording,
            follow(self._objectives, "teacher", self.teacher, recording, x) as x,
        ):
            outputs = self._outputs(x)
        return outputs, self._taps.activations(recording, outputs), recording

    def differentiable(self, x):
        """Returns the teacher's outputs for x and `{path: activation}`; gradients pass to x."""
        with self._taps.record() as recording:
            outputs = self._outputs(x)
        return outputs, self._taps.activations(recording, outputs)

    def _outputs(self, x):
        if takes_training(self.teacher):
            return self.teacher(x, training=False)
        if is_signature(self.teacher):
            return call_signature(self.teacher, x)
        if isinstance(self.teacher, keras.layers.Layer):
            return self.teacher(x)
        try:
            outputs = self.teacher(x)
        except (ValueError, tf.errors.OpError):
            raise
        except Exception as error:
            raise ValueError(
                "The teacher, a function, must take and give TensorFlow tensors. It raised "
                f"{type(error).__name__}: {error} Is it a function of NumPy arrays, as of ONNX "
                "Runtime or PyTorch? Give keras_distill.teachers.numpy_teacher(function)."
            ) from error
        for output in keras.tree.flatten(outputs):
            if isinstance(output, tf.Tensor) and output.shape.rank is None:
                raise ValueError(
                    "The teacher, a function, must give tensors of a known rank, which those of "
                    "tf.numpy_function and tf.py_function do not have. Received: an output of "
                    "unknown shape. Give keras_distill.teachers.numpy_teacher(function) in their "
                    "place, or add tf.ensure_shape(output, (None, classes))."
                )
        return outputs
