"""Checks schedules for all the steps of a `fit`."""

import keras

from keras_distill._arguments.schedules import check_schedule
from keras_distill._arguments.schedules import is_schedule
from keras_distill._keras.optimizer_steps import num_updates
from keras_distill._keras.optimizer_steps import step_of


class ScheduleCheck(keras.callbacks.Callback):
    """Checks schedules for all steps to come, as soon as the number of steps is known.

    Keras tells this number only to callbacks. If the data does not know its number of batches,
    the last step of each epoch is checked when the epoch is over.

    Args:
        trained: The model whose optimizer counts the steps.
        settings: List of `(name, value, range)`. Only values that are schedules are checked.
    """

    def __init__(self, trained, settings):
        super().__init__()
        self.settings = [setting for setting in settings if is_schedule(setting[1])]
        self._trained = trained
        self._is_checked = False

    def on_train_begin(self, logs=None):
        self._is_checked = False

    def on_epoch_begin(self, epoch, logs=None):
        # At the start of training, a callback that restores weights might run after this one.
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
    """Number of batches that a callback will see from an epoch on; 0 if it is unknown."""
    return (callback.params.get("steps") or 0) * (callback.params["epochs"] - epoch)
