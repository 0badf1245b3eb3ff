"""Gradients of a model's outputs by its inputs, taken in its usual forward pass."""

import contextlib

import keras
import tensorflow as tf

from keras_distill.losses.base import shapes_agree


def follow(objectives, side, model, recording, inputs):
    """A context for a model's pass, after which gradients by its inputs can be taken.

    Args:
        objectives: The Distiller's `Objective`s; if none reads gradients of this
            side, nothing is done.
        side: "teacher" or "student".
        model: The model.
        recording: The `Recording` that this thread is in, or None.
        inputs: The model's inputs. The context yields the inputs to call the model with.
    """
    is_wanted = any(o.loss.reads_teacher or side == "student" for o in _of_gradients(objectives))
    if not is_wanted or recording is None or recording.model is not model:
        return contextlib.nullcontext(inputs)
    return _watched(recording, inputs)


@contextlib.contextmanager
def _watched(recording, inputs):
    inputs = keras.tree.map_structure(_as_tensor, inputs)
    recording.inputs = [x for x in keras.tree.flatten(inputs) if x is not None]
    # This tape watches no variables: the training step's outer tape does.
    recording.tape = tf.GradientTape(persistent=True, watch_accessed_variables=False)
    with recording.tape:
        recording.watch(inputs)
        yield inputs


def check_not_carried(objectives):
    """Raises `ValueError` for objectives that need more than the teacher's outputs."""
    for objective in _of_gradients(objectives):
        if objective.loss.reads_teacher:
            raise ValueError(
                f"Objective {objective.name!r} needs the teacher's input gradients, which the "
                "batch's teacher_outputs do not have. Set distiller.teacher, and give batches "
                "without teacher_outputs."
            )


def teacher_gradients(objectives, recording, taught):
    """Returns what the student's input gradients are compared with.

    Args:
        objectives: The Distiller's `Objective`s.
        recording: The teacher's `Recording`; None if its outputs came with the batch.
        taught: The teacher's activations, `{path: activation}`.

    Returns:
        A dict of the directions, by `Objective.directions_key`, and of the gradients in
        these directions, by `Objective.gradients_key`.
    """
    found = {}
    for objective in _of_gradients(objectives):
        directions = objective.loss.directions(taught[objective.teacher_layer])
        found[objective.directions_key] = directions
        if objective.loss.reads_teacher:
            gradients = _gradients(objective, "teacher", recording, taught, directions)
            found[objective.gradients_key] = gradients
    return found


def student_gradients(objectives, recording, learnt, taught):
    """Returns the student's input gradients by `Objective.gradients_key`.

    Args:
        objectives: The Distiller's `Objective`s.
        recording: The student's `Recording`.
        learnt: The student's activations, `{path: activation}`.
        taught: The teacher's, with what `teacher_gradients` returns.
    """
    found = {}
    for objective in _of_gradients(objectives):
        output, directions = learnt[objective.student_layer], taught[objective.directions_key]
        teacher_shape = (directions.shape[0], *directions.shape[2:])
        if not shapes_agree(teacher_shape, tuple(output.shape)):
            raise ValueError(
                f"Objective {objective.name!r} differentiates outputs of one shape. Received: the "
                f"teacher's {objective.teacher_layer!r} {teacher_shape}, the student's "
                f"{objective.student_layer!r} {tuple(output.shape)}."
            )
        gradients = _gradients(objective, "student", recording, learnt, directions)
        found[objective.gradients_key] = gradients
    return found


def _gradients(objective, side, recording, activations, directions):
    """d <output, v_k> / d inputs for each direction v_k, `(batch, directions, *inputs)`."""
    output = activations[getattr(objective, f"{side}_layer")]
    path = getattr(objective.loss, f"{side}_inputs")
    if path is None:
        inputs = recording.inputs
    else:
        at_path = recording.passed_on(path) if path in recording else activations[path]
        inputs = keras.tree.flatten(at_path)
    received = [(tuple(x.shape), getattr(x.dtype, "name", x.dtype)) for x in inputs]
    if len(inputs) != 1 or not _is_float(inputs[0]):
        where = f"the {side}'s inputs" if path is None else f"the output of its {path!r}"
        raise ValueError(
            f"Objective {objective.name!r} takes the gradient by {where}, which must be one "
            f"floating-point tensor. Received: {received}. Name a layer whose output is one, "
            f"such as {type(objective.loss).__name__}({side}_inputs='embedding') where the model "
            "reads token ids, or cast images in the data set."
        )
    directions = tf.cast(directions, output.dtype)
    gradients = [
        recording.tape.gradient(output, inputs[0], output_gradients=directions[:, k])
        for k in range(directions.shape[1])
    ]
    if any(gradient is None for gradient in gradients):
        where = "inputs" if path is None else path
        layer = getattr(objective, f"{side}_layer")
        raise ValueError(
            f"Objective {objective.name!r}: TensorFlow finds no gradient of the {side}'s "
            f"{layer!r} by its {where!r}. An argmax, a rounding, a "
            "stop_gradient or NumPy between them has none."
        )
    return tf.stack(gradients, axis=1)


def _of_gradients(objectives):
    return [objective for objective in objectives if objective.on_input_gradients]


def _as_tensor(x):
    # Ragged and sparse tensors stay as they are.
    return x if x is None or tf.is_tensor(x) else tf.convert_to_tensor(x)


def _is_float(x):
    return isinstance(x, tf.Tensor) and x.dtype.is_floating
