"""What Keras's own Distiller and keras.io's example call the arguments, and their names here."""

import functools

import keras

_NAMES = {
    "student_loss_fn": "compile(loss=...)",
    "distillation_loss_fn": "Distiller(soft_loss=...)",
    "distillation_losses": "Distiller(soft_loss=..., objectives=[...])",
    "distillation_loss_weights": "Objective(..., weight=...)",
    "student_loss_weight": "Distiller(alpha=...)",
    "alpha": "Distiller(alpha=...)",
    "temperature": "Distiller(temperature=...)",
}


def check_compile(given):
    """Raises `TypeError` for arguments of compile() that belong elsewhere."""
    _check("compile()", [name for name in given if name in _NAMES])


def by_name(init):
    """A Distiller's `__init__` that says how its arguments are given: by name, by which name."""
    own = init.__kwdefaults__

    @functools.wraps(init)
    def checked(self, *args, **given):
        if args:
            raise TypeError(
                "Distiller() takes its models by name, because libraries differ in their order: "
                "Distiller(student=..., teacher=...). Received: positional arguments."
            )
        _check("Distiller()", [name for name in given if name in _NAMES and name not in own])
        init(self, **given)

    return checked


def remedy(loss):
    """What to give in place of a loss of `keras.distillation`; empty for anything else."""
    if isinstance(loss, keras.distillation.LogitsDistillation):
        return f". Leave soft_loss out and give temperature={loss.temperature}."
    if isinstance(loss, keras.distillation.FeatureDistillation):
        return (
            ". Give objectives=[keras_distill.Objective(keras_distill.losses.FeatureMSE(), "
            f"teacher_layer={loss.teacher_layer_name!r}, "
            f"student_layer={loss.student_layer_name!r}, projector='auto')]."
        )
    return ""


def _check(function, names):
    if names:
        ours = ", ".join(f"{_NAMES[name]} for {name}" for name in names)
        raise TypeError(
            f"{function} does not take {', '.join(names)}. Give {ours}. Without soft_loss, it is a "
            "KL divergence with a temperature."
        )
