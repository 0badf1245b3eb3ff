"""Structures of model outputs: settings for each output, and matching teacher to student."""

import keras


def whole_output(outputs):
    """The output among carried outputs that may also hold hidden activations."""
    return outputs["output"] if isinstance(outputs, dict) and "output" in outputs else outputs


def output_heads(outputs, output_names=None):
    """Names of a model's outputs, as Keras's history has them, in the flattened order.

    Args:
        outputs: The model's outputs: a tensor, or nested dicts, lists, tuples.
        output_names: Names of the outputs that are in a list, or None.
    """
    heads = []
    for path, _ in keras.tree.flatten_with_path(outputs):
        if path and isinstance(outputs, (list, tuple)) and output_names:
            path = (output_names[path[0]], *path[1:])
        heads.append("_".join(map(str, path)))
    return heads


def per_output(name, setting, outputs, output_names=None):
    """Spreads a setting over the outputs of a model.

    Args:
        name: The argument's name, for the error.
        setting: One value for all outputs, or a dict, list or tuple like the outputs
            (a dict by output name also for outputs in a list). Outputs that a dict
            leaves out get None.
        outputs: The model's outputs: a tensor, or nested dicts, lists, tuples.
        output_names: Names of the outputs that are in a list, or None.

    Returns:
        The settings in the order of the flattened outputs.
    """
    return keras.tree.flatten(_spread(name, setting, outputs, output_names))


def _spread(name, setting, outputs, output_names):
    if not isinstance(setting, (dict, list, tuple)):
        return keras.tree.map_structure(lambda _: setting, outputs)
    if isinstance(outputs, dict) and isinstance(setting, dict):
        known = list(outputs)
    elif isinstance(outputs, (list, tuple)) and isinstance(setting, dict):
        known = list(output_names or range(len(outputs)))
    elif isinstance(outputs, (list, tuple)) and len(setting) == len(outputs):
        return [_spread(name, *pair, None) for pair in zip(setting, outputs)]
    else:
        raise ValueError(
            f"{name} must be one for all outputs, or a dict or list like the student's outputs. "
            f"Received: {name} of type {type(setting).__name__} for outputs "
            f"{keras.tree.map_structure(lambda _: '*', outputs)}"
        )
    if unknown := set(setting) - set(known):
        raise ValueError(
            f"{name} names outputs that the student does not have: {sorted(unknown)}. "
            f"The student's outputs are {known}."
        )
    if isinstance(outputs, dict):
        spread = [(key, _spread(name, setting.get(key), outputs[key], None)) for key in outputs]
        return type(outputs)(spread)
    return [_spread(name, setting.get(key), out, None) for key, out in zip(known, outputs)]


def teacher_like_student(teacher, student, output_names=None):
    """Picks from the teacher's outputs those that the student has too.

    Args:
        teacher: The teacher's outputs: a tensor, or nested dicts, lists, tuples.
        student: The student's outputs.
        output_names: Names of the student's outputs if they are in a list, or None.

    Returns:
        The teacher's outputs in the order of the student's flattened outputs.

    Raises:
        ValueError: If the teacher lacks an output of the student, or a single output could
            belong to any of several.
    """
    if not isinstance(student, (dict, list, tuple)):
        leaves = keras.tree.flatten(teacher)
        if len(leaves) != 1:
            raise ValueError(
                "The student has one output and the teacher several: "
                f"{keras.tree.map_structure(lambda _: '*', teacher)}. Wrap the teacher in a "
                "function that returns the one to learn from, such as "
                "lambda x: model(x, training=False)['logits']."
            )
        return leaves
    if isinstance(student, dict):
        keys = list(student)
    else:
        keys = list(output_names or []) if isinstance(teacher, dict) else range(len(student))
    if len(keys) != len(student) or not _has_all(teacher, keys):
        raise ValueError(
            "The teacher must have every output of the student, under the same name or index. "
            f"Received: teacher {keras.tree.map_structure(lambda _: '*', teacher)}, "
            f"student {keras.tree.map_structure(lambda _: '*', student)}."
        )
    parts = student.values() if isinstance(student, dict) else student
    like_student = [teacher_like_student(teacher[key], part) for key, part in zip(keys, parts)]
    if isinstance(student, dict):
        # Keras flattens a dict in sorted order of its keys, and an OrderedDict in its own order.
        like_student = keras.tree.flatten(type(student)(zip(keys, map(_Leaves, like_student))))
        return [leaf for leaves in like_student for leaf in leaves.leaves]
    return [leaf for leaves in like_student for leaf in leaves]


class _Leaves:
    """A list that Keras's tree functions treat as one leaf."""

    def __init__(self, leaves):
        self.leaves = leaves


def _has_all(outputs, keys):
    if isinstance(outputs, dict):
        return all(key in outputs for key in keys)
    # A list has indices, but no names that could match the keys of a student's dict.
    return isinstance(outputs, (list, tuple)) and list(keys) == list(range(len(outputs)))


def check_labels(y, loss, outputs):
    """Raises `ValueError` if a dict of labels has too many for a dict of outputs, or too few.

    Args:
        y: The labels.
        loss: The loss of compile(): one for all outputs, a dict with some outputs' losses, or None.
        outputs: The student's outputs.
    """
    if not (isinstance(y, dict) and isinstance(outputs, dict)):
        return
    per_output("y", y, outputs)  # Keras's error names neither extra nor missing keys.
    losses = loss if isinstance(loss, dict) else dict.fromkeys(outputs, loss)
    with_loss = {name for name in outputs if losses.get(name) is not None}
    if missing := sorted(with_loss - set(y)):
        raise ValueError(
            f"y lacks the labels of {missing}, outputs for which compile() has a loss. Received: "
            f"y of {sorted(y)}. Give y for all of them, or compile() with a loss={{...}} of the "
            "others alone."
        )
