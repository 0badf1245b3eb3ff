"""Students that become teachers: teacher assistants, and born-again generations."""

import itertools
import pathlib

import keras
import tensorflow as tf

from keras_distill._arguments.checks import check_function
from keras_distill.data.inputs import is_missing
from keras_distill.data.inputs import unpack
from keras_distill.losses.base import shapes_agree
from keras_distill.teaching.stages.rehearsal import check_comes_again
from keras_distill.teaching.stages.stages import check_stages
from keras_distill.teaching.stages.stages import fit_stages


def fit_chain(stages, x, y=None, *, students, teacher, directory=None, **fit):
    """Trains students one after another; each is then the teacher of the next.

    For teacher assistants, give models from big to small, so that no step has a large gap.
    For born-again generations, repeat the same architecture, `[make_student] * 3`; the
    mean of their probabilities is `teachers.Ensemble(students)`.

    Args:
        stages: List of `Stage`s for every student; or a function from a student's index in
            the list (0, 1, ...) to its list of stages. Objectives need the function, because they
            hold what they have learnt.
        x, y: The data, as in `fit`, without the teacher's outputs.
        students: List of built `keras.Model`s, or of functions without arguments that build
            one, in the order in which they learn. All have outputs of the same shapes.
        teacher: The trained teacher of the first student, as in `Distiller`. For generations,
            a model like the students that was trained on the labels alone.
        directory: Folder for this run only, or None. A run that was killed is resumed, as in
            `fit_stages`; so is a run that is called again with more students.
        **fit: More arguments of `fit_stages`.

    Returns:
        `(students, histories)`: the list of trained models, and a list of what `fit_stages`
        returns for each.

    Raises:
        ValueError: Before anything is trained, if an argument does not fit; before a student is
            trained, if the first batch does not fit its stages.

    Example:

    ```python
    stages = [
        kd.teaching.Stage("all", epochs=10, loss=cross_entropy, alpha=0.5, temperature=1.0)
    ]
    generations, _ = kd.teaching.fit_chain(
        stages, images, labels, students=[make_student] * 3, teacher=teacher
    )
    ensemble = kd.teachers.Ensemble(generations)
    ```

    Reference: Furlanello et al. 2018, https://arxiv.org/abs/1805.04770, and Mirzadeh et al. 2020,
    https://arxiv.org/abs/1902.03393. Deviations: the stages set the weights, temperatures and
    learning rates; the first generation's teacher is not trained here.
    """
    students = _build(students)
    message = (
        "teacher must be a model or function, which the first student learns from. Train one "
        "on the labels, with fit, for the first of several generations."
    )
    check_function("teacher", teacher, message)
    _check_own_weights(teacher, students)
    _check_carries_no_outputs(x)
    all_stages = _stages_of_each(stages, students)
    check_comes_again(x, sum(map(len, all_stages)), fit)
    histories = []
    for place, student in enumerate(students):
        part = None if directory is None else pathlib.Path(directory) / f"student_{place + 1}"
        history = fit_stages(
            all_stages[place], x, y, student=student, teacher=teacher, directory=part, **fit
        )
        histories.append(history)
        teacher = student
    return students, histories


def _build(students):
    if not (isinstance(students, (list, tuple)) and students and all(map(callable, students))):
        raise ValueError(
            "students must be a list of models, or of functions that build one, at least one. "
            f"Received: students={students!r}"
        )
    models = [s if isinstance(s, keras.Model) else s() for s in students]
    if not all(isinstance(model, keras.Model) and model.built for model in models):
        raise ValueError(
            f"students must be built keras.Models, or functions that return one. Received: {models}"
        )
    for one, other in itertools.pairwise(models):
        shapes = [[tuple(o.shape) for o in getattr(m, "outputs", None) or ()] for m in (one, other)]
        # The shapes of a subclassed model are known only when it is trained.
        if all(shapes) and not _agree(*shapes):
            raise ValueError(
                "students must have outputs of the same shapes, as each teaches the next. "
                f"Received: {shapes[0]} of {one.name!r}, {shapes[1]} of {other.name!r}"
            )
    return models


def _agree(shapes, others):
    return len(shapes) == len(others) and all(map(shapes_agree, shapes, others))


def _check_own_weights(teacher, students):
    seen = {id(weight) for weight in getattr(teacher, "weights", ())}
    for place, student in enumerate(students):
        mine = {id(weight) for weight in student.trainable_weights}
        if mine & seen:
            raise ValueError(
                "students must have weights of their own, which the training of the next does not "
                f"change. Received: student {place} shares some with a model before it. Let its "
                "function build a new model in each call."
            )
        seen |= {id(weight) for weight in student.weights}


def _check_carries_no_outputs(x):
    spec = x.element_spec if isinstance(x, tf.data.Dataset) else (x,)
    if not is_missing(unpack(spec)[0].teacher_outputs):
        raise ValueError(
            "x must not carry teacher_outputs: these are the first teacher's, and every later "
            "student would learn from them, too. Leave them out, so that the teacher runs."
        )


def _stages_of_each(stages, students):
    if callable(stages):
        found = [stages(place) for place in range(len(students))]
    else:
        found = [stages] * len(students)
    for each, student in zip(found, students):
        check_stages(each, student)
    # Several stages of one student may share objectives.
    objectives = [
        {id(o) for s in each for o in s.distiller.get("objectives", ())} for each in found
    ]
    if len(set().union(*objectives)) < sum(map(len, objectives)):
        raise ValueError(
            "Students must not share objectives, which hold what they learn. Give stages as a "
            "function from a student's place to its list, which makes new ones in each call."
        )
    return found
