"""The epochs after which Keras's `fit` validates."""


def validates_behind(model, epoch, validation_freq):
    """Whether `fit` validates after an epoch.

    If `_should_eval` is removed: a number n means every n epochs, a list has the epochs, from 1.
    """
    return model._should_eval(epoch, validation_freq)
