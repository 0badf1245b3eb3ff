"""The epochs of Keras's `fit`: the first one, and those after which it validates."""


def begin_at(model, epoch):
    """Lets a `fit` that begins train from this epoch; None: from its own initial_epoch.

    If `_initial_epoch` is removed, see what `keras.callbacks.BackupAndRestore` sets instead.
    """
    model._initial_epoch = epoch


def validates_behind(model, epoch, validation_freq):
    """Whether `fit` validates after an epoch.

    If `_should_eval` is removed: a number n means every n epochs, a list has the epochs, from 1.
    """
    return model._should_eval(epoch, validation_freq)
