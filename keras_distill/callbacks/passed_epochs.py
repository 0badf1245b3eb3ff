"""Resumes data where a run stopped: reads the passed batches again, without training."""

import itertools

import keras


class PassedEpochs(keras.callbacks.Callback):
    """Reads the batches of epochs that an earlier run trained.

    A data set that is shuffled, a `PyDataset` that changes as an epoch ends, and a generator
    begin anew in a new process. After the passed epochs they are where the earlier run stopped.

    Args:
        num_epochs: Number of trained epochs.
    """

    def __init__(self, num_epochs):
        super().__init__()
        self._num_epochs = num_epochs

    def on_train_begin(self, logs=None):
        epochs = self.model._epochs_of_data()
        for _ in range(self._num_epochs):
            with epochs.catch_stop_iteration():
                for *_, iterator in epochs:
                    if not list(itertools.islice(iterator, epochs.steps_per_execution)):
                        # The training step does the same if the length of the data is unknown.
                        raise StopIteration
