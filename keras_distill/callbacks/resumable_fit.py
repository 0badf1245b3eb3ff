"""The one way in which stages and jobs resume a `fit`: a backup, a log, and a finished file."""

import shutil

import keras

from keras_distill._files.destination import replaced_file
from keras_distill.callbacks.backup import BackupAndRestore
from keras_distill.callbacks.epoch_log import EpochLog
from keras_distill.callbacks.passed_epochs import PassedEpochs


class ResumableFit:
    """A `fit` that is done once, and that continues after its last complete epoch after a kill.

    Every moment of a kill leaves files that the same call can use: the log is written before the
    backup, the backup marks an epoch as done, and the result appears complete, in one step.

    Args:
        folder: The run's folder, a `pathlib.Path`; the caller has locked it.
        name: Name of the files: the backups are in NAME-backup.
        result: Suffix of the file with what was trained, such as ".weights.h5".
        log: Suffix of the file with the values of every epoch, ".json" or ".csv".
        remedy: A sentence that says what to do about a damaged log.

    Attributes:
        result: Path of the finished file.
        is_done: Whether it was there at the beginning.
        num_epochs: Number of epochs that are trained.

    Raises:
        ValueError: If the log is damaged, or lacks an epoch.
    """

    def __init__(self, folder, name, *, result, log, remedy):
        self.result = folder / f"{name}{result}"
        self.is_done = self.result.exists()
        self._backups = folder / f"{name}-backup"
        self._restore = BackupAndRestore(self._backups, delete_checkpoint=False)
        num_epochs = None if self.is_done else self._restore.num_epochs
        self._log = EpochLog(folder / f"{name}{log}", num_epochs, remedy)
        if self.is_done:
            # A run that was killed as it ended has left them.
            self._remove_backups()

    @property
    def num_epochs(self):
        return self._log.num_epochs

    def history(self):
        """The values of all epochs, as `fit` returns them."""
        return self._log.history()

    def run(self, learner, *data, save, callbacks=None, reads_passed=False, **how):
        """Trains the epochs that are left, and writes the finished file.

        Args:
            learner: The compiled model.
            *data: The data, as in `fit`.
            save: Function that writes what was trained to a path, `learner.save_weights` or so.
            callbacks: Callbacks, as in `fit`. They come first, because they may add to the logs.
            reads_passed: Whether the batches of passed epochs are read again, without training,
                so that the data is where the earlier run stopped, also for the next fit.
            **how: More arguments of `fit`, including epochs.
        """
        passed = [PassedEpochs(self.num_epochs)] if reads_passed else []
        if not self.is_done:
            given = keras.tree.flatten(callbacks or [])
            own = [self._log, self._restore, *passed]
            learner.fit(*data, **how, callbacks=[*given, *own])
            with replaced_file(self.result) as written:
                save(written)
            self._remove_backups()
        elif passed:
            how |= {"initial_epoch": how["epochs"], "verbose": 0}
            learner.fit(*data, **how, callbacks=passed)

    def _remove_backups(self):
        shutil.rmtree(self._backups, ignore_errors=True)
