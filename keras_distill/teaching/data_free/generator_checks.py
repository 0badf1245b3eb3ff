"""Checks of the generator and of the teacher that it learns from."""

import keras

from keras_distill._keras import output_domain
from keras_distill.distillation.student_hooks import check_plain
from keras_distill.losses.base import shapes_agree
from keras_distill.teachers.numpy_teacher import NumpyTeacher

_NO_LOGITS = (
    "DataFree needs a teacher that gives logits of classes, without a last activation. "
    "Received: {}. Make a model of the teacher without its last activation."
)


def check_teacher(teacher):
    """Raises `ValueError` without a teacher, or if its last layer shows that it gives no logits."""
    if teacher is None:
        raise ValueError(
            "DataFree needs the teacher in every step: set data_free.distiller.teacher, which is "
            "not saved with the model."
        )
    if isinstance(teacher, NumpyTeacher):
        raise ValueError(
            "DataFree needs gradients to the teacher's inputs, which a function of NumPy arrays "
            "does not have. Received: a numpy_teacher. Give the model in Keras or TensorFlow."
        )
    domains = output_domain.output_domains(teacher)
    if domains is not None and any(d not in (None, output_domain.LOGITS) for d in domains):
        raise ValueError(_NO_LOGITS.format(f"outputs {domains}"))


def check_logits(logits, teacher):
    """Raises `ValueError` if the teacher's outputs for a real batch are not logits."""
    shape = getattr(logits, "shape", ())
    if len(shape) != 2 or shape[-1] < 2:
        raise ValueError(
            "DataFree needs a teacher with one output of logits, (batch, classes), of at least two "
            "classes: generated examples have no number to predict. Received: "
            f"{keras.tree.map_structure(lambda output: tuple(output.shape), logits)}"
        )
    is_unknown = output_domain.output_domains(teacher) in (None, [None])
    values = keras.ops.convert_to_numpy(keras.ops.cast(logits, "float32"))
    if is_unknown and output_domain.could_come_from(output_domain.SOFTMAX, values):
        raise ValueError(_NO_LOGITS.format("values that are probabilities"))


def check_generator(generator, distiller):
    """Raises `ValueError` unless both models of the Distiller can read the generator's output."""
    if not (isinstance(generator, keras.Model) and generator.built and generator.weights):
        raise ValueError(
            "generator must be a keras.Model that is built: start it with a keras.Input, or call "
            f"it once on noise. Received: generator={generator!r}"
        )
    check_plain("generator", generator)
    for side in ("input_shape", "output_shape"):
        shape = getattr(generator, side, None)
        if not (isinstance(shape, tuple) and len(shape) > 1):
            raise ValueError(
                "generator must have one input of noise, (batch, ...), and one output, and start "
                f"with a keras.Input. Received: generator.{side}={shape}"
            )
    check_reads("student", distiller.student, generator)
    check_reads("teacher", distiller.teacher, generator)


def check_reads(reader, model, generator):
    """Raises `ValueError` if the model, "teacher" or "student", reads other shapes."""
    shape = getattr(model, "input_shape", None)
    # A model with several inputs has a list or dict of shapes; a function has no shape.
    if shape is not None and not (
        isinstance(shape, tuple) and shapes_agree(shape, generator.output_shape)
    ):
        raise ValueError(
            f"generator must make what the {reader} reads. Received: "
            f"generator.output_shape={generator.output_shape}, {reader}.input_shape={shape}"
        )
