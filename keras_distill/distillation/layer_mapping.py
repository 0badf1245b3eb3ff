"""Maps each layer of the student to the layer of the teacher from which it learns."""

import keras

from keras_distill._arguments.checks import is_integer
from keras_distill.distillation.objective import Objective
from keras_distill.losses.base import parts_of

_MAPPINGS = {
    "uniform": lambda i, students, teachers: (i + 1) * teachers // students - 1,
    "top": lambda i, students, teachers: teachers - students + i,
    "bottom": lambda i, students, teachers: i,
}


def layer_objectives(
    loss,
    *,
    teacher_layers,
    student_layers,
    mapping="uniform",
    projector=None,
    weight=1.0,
    name=None,
):
    """Makes an `Objective` for each pair of layers of a teacher and a student.

    For N layers of the teacher and M of the student, counted from 0, layer i of the
    student learns from this layer of the teacher:

    ```
    "uniform"    (i + 1) * N / M - 1, rounded down: evenly spread, the last from the last
    "top"        N - M + i: the last M
    "bottom"     i: the first M
    ```

    Args:
        loss: A `keras.losses.Loss` for every pair. A loss with its own layers or variables
            is copied for each pair, together with its weights.
        teacher_layers: Paths of the teacher's layers as in `Objective`, first to last.
        student_layers: Paths of the student's layers, in the same form.
        mapping: "uniform", "top", "bottom", or pairs (index of the teacher's layer, index of
            the student's), from 0. Defaults to "uniform".
        projector: As in `Objective`. A layer is also copied for each pair.
        weight: Weight of each objective, as in `Objective`. Defaults to 1.
        name: Start of the objectives' names, which are "name_0", "name_1", ... in the order
            of the pairs. Defaults to the loss's name.

    Returns:
        A list of `Objective`s.

    Raises:
        ValueError: If the mapping is unknown, names a layer that does not exist or a pair twice,
            or the student has more layers than the teacher.

    Example:

    >>> from keras_distill.losses import FeatureMSE
    >>> objectives = layer_objectives(
    ...     FeatureMSE(),
    ...     teacher_layers=[f"transformer_layer_{i}" for i in range(6)],
    ...     student_layers=[f"transformer_layer_{i}" for i in range(2)],
    ...     projector="auto",
    ...     name="hidden",
    ... )
    >>> [(o.name, o.teacher_layer, o.student_layer) for o in objectives]
    [('hidden_0', 'transformer_layer_2', 'transformer_layer_0'), \
('hidden_1', 'transformer_layer_5', 'transformer_layer_1')]

    Reference: Jiao et al. 2020, TinyBERT, https://arxiv.org/abs/1909.10351, the uniform, top
    and bottom strategies of section 4.5. Deviations: in the paper, the numbers of layers divide
    evenly; the paper has one projector for all hidden layers, here each pair has its own.
    """
    _check_paths("teacher_layers", teacher_layers)
    _check_paths("student_layers", student_layers)
    name = name or getattr(loss, "name", None)
    return [
        Objective(
            _copy(loss),
            teacher_layer=teacher_layers[theirs],
            student_layer=student_layers[ours],
            weight=weight,
            projector=_copy(projector),
            name=f"{name}_{number}",
        )
        for number, (theirs, ours) in enumerate(
            _pairs(mapping, len(teacher_layers), len(student_layers))
        )
    ]


def _pairs(mapping, num_teacher, num_student):
    if isinstance(mapping, str) and mapping in _MAPPINGS:
        if num_student > num_teacher:
            raise ValueError(
                f"mapping={mapping!r} needs a student with at most as many layers as its teacher. "
                f"Received: {num_teacher} layers of the teacher, {num_student} of the student. "
                "Give pairs (teacher index, student index)."
            )
        of_layer = _MAPPINGS[mapping]
        return [(of_layer(i, num_student, num_teacher), i) for i in range(num_student)]
    is_list = isinstance(mapping, (list, tuple)) and len(mapping) > 0
    if not is_list or not all(_is_pair(pair) for pair in mapping):
        raise ValueError(
            f"mapping must be one of {list(_MAPPINGS)}, or a list of pairs (index of the "
            "teacher's layer, index of the student's), each once. Received: "
            f"mapping={mapping!r}"
        )
    for pair in mapping:
        if not (0 <= pair[0] < num_teacher and 0 <= pair[1] < num_student):
            raise ValueError(
                f"mapping has a layer that does not exist: the teacher's are 0 to "
                f"{num_teacher - 1}, the student's 0 to {num_student - 1}. Received: {pair!r}"
            )
    if len(set(map(tuple, mapping))) < len(mapping):
        raise ValueError(f"mapping has a pair twice. Received: mapping={mapping!r}")
    return [tuple(map(int, pair)) for pair in mapping]


def _is_pair(pair):
    return isinstance(pair, (list, tuple)) and len(pair) == 2 and all(map(is_integer, pair))


def _check_paths(argument, paths):
    if not isinstance(paths, (list, tuple)) or not paths:
        raise ValueError(
            f"{argument} must be a list of paths, one for each layer, first to last. "
            f"Received: {argument}={paths!r}"
        )


def _copy(part):
    """Copies a loss or projector that has parts, which belong to one pair; else returns it."""
    parts = _parts(part)
    if not parts:
        return part
    copy = type(part).from_config(part.get_config())
    for own, given in zip(_parts(copy), parts):
        if isinstance(given, keras.Variable):
            own.assign(given)
        elif isinstance(given, keras.layers.Layer) and given.built:
            if not own.built:
                own.build_from_config(given.get_build_config())
            own.set_weights(given.get_weights())
    return copy


def _parts(part):
    if isinstance(part, keras.layers.Layer):
        return [part]
    return parts_of(part) if isinstance(part, keras.losses.Loss) else []
