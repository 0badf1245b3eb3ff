"""Backups of a run of `fit`: whole whenever it is killed, and one for all workers."""

import os
import pathlib
import tempfile

import keras

from keras_distill.multi_worker import is_first_worker
from keras_distill.multi_worker import mean_and_spread

_NAME = "epoch_{:06d}.weights.h5"
_NAMES = "epoch_*.weights.h5"


class BackupAndRestore(keras.callbacks.Callback):
    """Backs up every epoch; after a crash, the same `fit` goes on behind the last one.

    `keras.callbacks.BackupAndRestore` writes the weights over those of the epoch before, and
    then the number of the epoch: killed meanwhile, it finds a file that is cut off (or, with
    `double_checkpoint`, goes an epoch back), and between the two it trains an epoch twice.
    Here one file has both, and takes the place of the one before when it is whole.

    Under `MultiWorkerMirroredStrategy` the first worker writes, and all of them read.

    Restored are the weights, the optimizer and the random states that the model saves. The
    data starts anew: shuffled with a seed, its order is that of the first epochs again.

    Args:
        backup_dir: Folder of this run alone, which all workers see. A later run in it goes
            on with this one.
        delete_checkpoint: Whether the backup goes when `fit` has ended. If a script does more
            after `fit`, False spares it the training should it be killed there. Defaults to
            True.

    Raises:
        ValueError: At the start of `fit`, if not all workers see the same backup.

    Example:

    ```python
    distiller.fit(dataset, epochs=20, callbacks=[kd.BackupAndRestore("backup")])
    ```
    """

    def __init__(self, backup_dir, delete_checkpoint=True):
        super().__init__()
        self.backup_dir = pathlib.Path(backup_dir)
        self.delete_checkpoint = delete_checkpoint

    def on_train_begin(self, logs=None):
        backup = max(self.backup_dir.glob(_NAMES), default=None)
        epoch = 0 if backup is None else int(backup.name.split(".")[0].split("_")[1])
        self._check_same(epoch)
        if backup is None:
            return
        optimizer = self.model.optimizer
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        self.model.load_weights(backup)
        self.model._initial_epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self._forget_epoch()

    def on_epoch_end(self, epoch, logs=None):
        # All workers save: a variable that they add up when it is read needs each of them.
        is_first = is_first_worker(self.model.distribute_strategy)
        with tempfile.TemporaryDirectory() as scratch:
            folder = self.backup_dir if is_first else pathlib.Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            hidden = folder / ".next.weights.h5"
            self.model.save_weights(hidden)
            if is_first:
                backup = folder / _NAME.format(epoch + 1)
                os.replace(hidden, backup)
                self._delete_all_but(backup)

    def on_train_end(self, logs=None):
        self._forget_epoch()  # No epoch may have been left.
        if self.delete_checkpoint and is_first_worker(self.model.distribute_strategy):
            self._delete_all_but(None)

    def _forget_epoch(self):
        # Keras has read it; a later `fit` of this model is to begin where it is told.
        self.model._initial_epoch = None

    def _delete_all_but(self, kept):
        for backup in self.backup_dir.glob(_NAMES):
            if backup != kept:
                backup.unlink()

    def _check_same(self, epoch):
        mean, spread = mean_and_spread(epoch, self.model.distribute_strategy)
        if spread > 0:
            raise ValueError(
                f"backup_dir must be one folder that all workers see. Received: {self.backup_dir}; "
                f"the backup in it is of epoch {epoch} here, {mean:g} on average."
            )
