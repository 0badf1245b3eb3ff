"""Which models learn in what a user trains."""


def students_of(model):
    """Lists the models that learn: those of a `Learner`, or a plain model alone.

    Args:
        model: A `keras.Model`.
    """
    return getattr(model, "students", [model])
