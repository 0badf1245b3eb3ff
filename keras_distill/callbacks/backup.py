"""Backups of a run of `fit`: always complete, even after a kill, and one for all workers."""

import pathlib
import tempfile

import keras

from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill._files.destination import remove_hidden_folders
from keras_distill._files.destination import replaced_file
from keras_distill._keras.distribution import is_first_worker
from keras_distill._keras.distribution import mean_and_spread
from keras_distill._keras.epochs import begin_at
from keras_distill._keras.random_states import add_random_states
from keras_distill._keras.random_states import restore_random_states

_NAME = "epoch_{:06d}.weights.h5"
_NAMES = "epoch_*.weights.h5"


class BackupAndRestore(keras.callbacks.Callback):
    """Backs up every epoch; after a crash, the same `fit` continues after the last backup.

    `keras.callbacks.BackupAndRestore` overwrites the weights of the previous epoch, and then
    writes the number of the epoch. If it is killed while it writes, the file is cut off (or, with
    `double_checkpoint`, it goes back one epoch); killed between the two, it trains an epoch twice.
    Here one file holds both, and replaces the previous file only when it is complete.

    Under `MultiWorkerMirroredStrategy` the first worker writes, and all of them read.

    The backup restores the weights, the optimizer and the states of the model's random generators.
    Other callbacks begin anew, as with Keras's: `EarlyStopping` forgets the best epoch before the
    interruption, and its weights.
    The data starts anew: data that is shuffled with a seed repeats the order of the first epochs,
    so the result differs from a run without interruption. To get the same result, use an endless
    data set and skip what was seen; the skipped data is read again, but not trained on:

    ```python
    backup = kd.callbacks.BackupAndRestore("backup")
    dataset = dataset.shuffle(10_000, seed=0).batch(64).repeat()
    distiller.fit(
        dataset.skip(backup.num_epochs * steps_per_epoch),
        steps_per_epoch=steps_per_epoch,
        epochs=20,
        callbacks=[backup],
    )
    ```

    With arrays, `keras.utils.set_random_seed` fixes one order, which is the same in each epoch.
    `keras_distill.teaching.fit_stages(directory=...)` skips what was seen by itself.

    Args:
        backup_dir: Folder for this run only, which all workers can read. A later run with this
            folder resumes this one.
        delete_checkpoint: Whether the backup is deleted when `fit` has ended. With False, a
            script that is killed after `fit` need not train again. Defaults to True.

    Attributes:
        num_epochs: Number of epochs that the backup in the folder contains, 0 without a backup.

    Raises:
        ValueError: At the start of `fit`, if the backup is damaged or of another model, or not
            all workers see the same one.

    Example:

    ```python
    distiller.fit(dataset, epochs=20, callbacks=[kd.callbacks.BackupAndRestore("backup")])
    ```
    """

    def __init__(self, backup_dir, delete_checkpoint=True):
        super().__init__()
        self.backup_dir = pathlib.Path(backup_dir)
        self.delete_checkpoint = delete_checkpoint

    @property
    def num_epochs(self):
        return max(map(_epoch_of, self._backups()), default=0)

    def on_train_begin(self, logs=None):
        epoch = self.num_epochs
        self._check_same(epoch)
        if is_first_worker(self.model.distribute_strategy):
            # A run that was killed while it wrote has left these.
            remove_hidden_folders(self.backup_dir)
        if epoch == 0:
            return
        optimizer = self.model.optimizer
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        backup = self.backup_dir / _NAME.format(epoch)
        try:
            self.model.load_weights(backup)
            restore_random_states(backup, self.model)
        except Exception as error:
            # Keras and h5py raise many kinds of errors for a damaged file.
            raise ValueError(
                f"{printable(backup)} cannot be restored ({type(error).__name__}: "
                f"{one_line(error)}). It is damaged, or of another model. Remove it, and training "
                "starts anew."
            ) from error
        begin_at(self.model, epoch)

    def on_epoch_begin(self, epoch, logs=None):
        self._forget_epoch()

    def on_epoch_end(self, epoch, logs=None):
        # All workers save: reading a variable that sums over the workers needs each of them.
        is_first = is_first_worker(self.model.distribute_strategy)
        with tempfile.TemporaryDirectory() as scratch:
            folder = self.backup_dir if is_first else pathlib.Path(scratch)
            backup = folder / _NAME.format(epoch + 1)
            with replaced_file(backup) as hidden:
                self.model.save_weights(hidden)
                add_random_states(hidden, self.model)
        if is_first:
            self._delete_all_but(backup)

    def on_train_end(self, logs=None):
        self._forget_epoch()  # This is needed if the backup left no epoch to train.
        if self.delete_checkpoint and is_first_worker(self.model.distribute_strategy):
            self._delete_all_but(None)

    def _forget_epoch(self):
        # Keras has read this value; a later `fit` must begin at its own initial_epoch.
        begin_at(self.model, None)

    def _backups(self):
        return [path for path in self.backup_dir.glob(_NAMES) if _epoch_of(path) > 0]

    def _delete_all_but(self, kept):
        for backup in self._backups():
            if backup != kept:
                backup.unlink()

    def _check_same(self, epoch):
        mean, spread = mean_and_spread(epoch, self.model.distribute_strategy)
        if spread > 0:
            raise ValueError(
                f"backup_dir must be one folder that all workers see. Received: {self.backup_dir}; "
                f"the backup in it is of epoch {epoch} here, {mean:g} on average."
            )


def _epoch_of(path):
    """The number of epochs in a backup; 0 for a file that is not a backup."""
    digits = path.name.removeprefix("epoch_").removesuffix(".weights.h5")
    return int(digits) if digits.isascii() and digits.isdigit() else 0
