"""Finds the models that learn in a model that a user trains."""


def students_of(model):
    """Lists the models that learn: the students of a `Learner`, or a plain model itself.

    Args:
        model: A `keras.Model`.
    """
    return getattr(model, "students", [model])
