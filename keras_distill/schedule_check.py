"""What `fit` is given, and schedules that it follows: checked before anything is trained."""

import functools
import inspect
import types

import keras
import tensorflow as tf
from keras import ops

from keras_distill.inputs import unpack
from keras_distill.schedules import check_schedule
from keras_distill.schedules import is_schedule
from keras_distill.schedules import step_of


@functools.wraps(keras.Model.fit)
def checked_fit(model, *args, **kwargs):
    given = check_fit(model, *args, **kwargs)
    callbacks = given.arguments.get("callbacks") or []
    # A CallbackList, the user's own, is used as it is.
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        checks = [check for check in model._schedule_checks() if check.settings]
        given.arguments["callbacks"] = [*keras.tree.flatten(callbacks), *checks]
    return keras.Model.fit(*given.args, **given.kwargs)


def check_fit(model, *args, **kwargs):
    """Raises for arguments that Keras would drop, or refuse when an epoch is trained.

    Args:
        model: The model, of which `_check_validation` knows what it can measure.
        *args, **kwargs: The arguments of its `fit`.

    Returns:
        The `inspect.BoundArguments` of `keras.Model.fit`.

    Raises:
        TypeError: If `fit` has no such argument.
        ValueError: If there are weights without labels, or validation has nothing to measure.
    """
    bound = inspect.signature(keras.Model.fit).bind(model, *args, **kwargs)
    bound.apply_defaults()
    given = types.SimpleNamespace(**bound.arguments)
    is_dataset = isinstance(given.x, tf.data.Dataset)
    has_labels = _has_labels(given.x if is_dataset else (given.x, given.y))
    if has_labels is False:
        _check_weights(given.sample_weight, given.class_weight)
    if given.validation_data is not None:
        has_labels = _has_labels(given.validation_data)
    if has_labels is not None and _validates(model, given):
        model._check_validation(has_labels)
    return bound


def _check_weights(sample_weight, class_weight):
    if class_weight is not None:
        raise ValueError(
            "class_weight needs y, whose classes it weighs. Received: class_weight and no y."
        )
    if sample_weight is not None:
        raise ValueError(
            "sample_weight needs y, without which Keras drops it. Received: sample_weight and no "
            "y. Give x as a batched tf.data.Dataset of (x, (), sample_weight); to fit_stages, of "
            "(x, y, sample_weight)."
        )


def _validates(model, given):
    if given.validation_data is None and not given.validation_split:
        return False
    epochs = range(given.initial_epoch, given.epochs)
    return any(model._should_eval(epoch, given.validation_freq) for epoch in epochs)


def are_arrays(data):
    """Whether data are arrays or tensors, in whatever structure."""
    return all(hasattr(part, "shape") for part in keras.tree.flatten(data) if part is not None)


def _has_labels(data):
    """Whether there is a y; None of generators, whose batches alone tell."""
    if isinstance(data, tf.data.Dataset):
        data = data.element_spec
    elif not are_arrays(data):
        return None
    return unpack(data)[1] is not None


class ScheduleCheck(keras.callbacks.Callback):
    """Checks schedules for all the steps to come, as soon as it is known how many these are.

    Only a callback learns it from Keras. Where the data does not say how many batches it has, the
    last step of an epoch is checked when it is over.

    Args:
        trained: The model whose optimizer counts the steps.
        settings: List of `(name, value, range)`, of which it keeps the schedules.
    """

    def __init__(self, trained, settings):
        super().__init__()
        self.settings = [setting for setting in settings if is_schedule(setting[1])]
        self._trained = trained
        self._is_checked = False

    def on_train_begin(self, logs=None):
        self._is_checked = False

    def on_epoch_begin(self, epoch, logs=None):
        # Not at the start of the training: a callback that restores weights may come later.
        if not self._is_checked:
            first = step_of(self._trained.optimizer)
            num_batches = batches_left(self, epoch)
            self._check(first, first + num_updates(self._trained.optimizer, num_batches) - 1)
            self._is_checked = True

    def on_epoch_end(self, epoch, logs=None):
        if not self.params.get("steps"):
            last = max(0, step_of(self._trained.optimizer) - 1)
            self._check(last, last)

    def _check(self, first, last):
        for setting in self.settings:
            check_schedule(*setting, first, last)


def batches_left(callback, epoch):
    """How many batches a callback will see from an epoch on; 0 where the data does not say it."""
    return (callback.params.get("steps") or 0) * (callback.params["epochs"] - epoch)


def num_updates(optimizer, num_batches):
    """How often an optimizer changes the weights in so many batches."""
    return -(-num_batches // (_unscaled(optimizer).gradient_accumulation_steps or 1))


def batches_seen(optimizer):
    """How many batches an optimizer has had gradients of, also those that it still adds up."""
    # The variable of several devices has no value of its own.
    return int(tf.identity(ops.convert_to_tensor(_unscaled(optimizer)._iterations)))


def _unscaled(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)  # Of a LossScaleOptimizer.
