"""Numbers that may change while training: a float, or a Keras schedule of the step."""

from keras.optimizers.schedules import LearningRateSchedule

from keras_distill.arguments import is_finite


def is_schedule(value):
    return isinstance(value, LearningRateSchedule)


def value_at(value, step):
    """Returns `value` as it is at optimizer step `step`."""
    return value(step) if is_schedule(value) else value


def check_number(name, value, allowed, condition):
    """Raises unless `value` is a schedule, or a finite number that fulfils `condition`.

    Args:
        name: The argument's name, for the error.
        value: What the user gave.
        allowed: The allowed range in words, for the error.
        condition: Function from a float to whether it is allowed.
    """
    if is_schedule(value):
        return
    if not (is_finite(value) and condition(value)):
        raise ValueError(
            f"{name} must be {allowed}, or a keras.optimizers.schedules.LearningRateSchedule. "
            f"Received: {name}={value!r}"
        )
