"""A teacher that holds layers of its student would change with every step."""


def check_own_weights(teacher, student):
    """Raises `ValueError` for a teacher with weights that the student's training changes.

    Args:
        teacher: A model or a function. The weights of a function are unknown, so not checked.
        student: A `keras.Model`.
    """
    held = {id(weight) for weight in getattr(teacher, "weights", ())}
    shared = [weight.path for weight in student.trainable_weights if id(weight) in held]
    if shared:
        raise ValueError(
            "teacher must have weights of its own, which the student's training does not change. "
            f"Received: a teacher and a student that share {len(shared)} weights, such as "
            f"{shared[0]!r}. Copy the layers, with keras.models.clone_model() and set_weights(), "
            "or freeze them, layer.trainable = False. A teacher that shall learn along is a "
            "function: teacher=lambda x: model(x)."
        )
