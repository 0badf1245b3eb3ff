"""When Keras's `fit` does what."""


def validates_behind(model, epoch, validation_freq):
    """Whether `fit` validates behind an epoch.

    Should `_should_eval` go: a number means every so many epochs, a list names them, from 1.
    """
    return model._should_eval(epoch, validation_freq)
