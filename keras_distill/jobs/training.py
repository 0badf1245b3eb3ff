"""Trains one model of a job, or loads it if the folder already has it."""

import csv
import shutil

import keras

from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill._files.destination import check_destination
from keras_distill._files.destination import replaced_file
from keras_distill._keras.model_files import load_model_file
from keras_distill.callbacks.backup import BackupAndRestore
from keras_distill.distillation.distiller import Distiller
from keras_distill.jobs import interruption
from keras_distill.layers.class_names import with_class_names
from keras_distill.teachers import WarmupLinearDecay

# Number of rounds of a training; each ends with a backup.
_NUM_ROUNDS = 10
_NOT_THERE = "NA"


def check_training(folder, name):
    """Raises unless a trained model, its backups and its log can be written.

    Args:
        folder: The job's folder, a `pathlib.Path`.
        name: Name of the model's files.
    """
    for path, kind in zip(_files(folder, name), ("file", "folder", "file")):
        check_destination("output", path, kind)


def _files(folder, name):
    return folder / f"{name}.keras", folder / f"{name}-backup", folder / f"{name}.csv"


def train_student(
    folder,
    name,
    make_student,
    make_batches,
    *,
    class_names,
    num_steps,
    learning_rate,
    hard_loss,
    seed,
    **how,
):
    """Returns a trained student; after a kill, the same call resumes after the last round.

    Args:
        folder: The job's folder, a `pathlib.Path`.
        name: Name of the student's files.
        make_student: Function without arguments that builds the student.
        make_batches: Function without arguments that makes its endless batches.
        class_names: Names of the classes, which are saved in the file.
        num_steps: Number of steps.
        learning_rate: Peak learning rate of a schedule with warm-up and linear decay.
        hard_loss: Loss on the labels.
        seed: Seed of weights and dropout.
        **how: Arguments of the `Distiller`; without any, the student learns from labels only.
    """
    path, backup, log = _files(folder, name)
    if not path.exists():
        keras.utils.set_random_seed(seed)
        student = make_student()
        learner = Distiller(student, **how) if how else student
        schedule = WarmupLinearDecay(learning_rate, num_steps)
        learner.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0), hard_loss)
        restore = BackupAndRestore(backup, delete_checkpoint=False)
        steps_per_round = -(-num_steps // _NUM_ROUNDS)
        learner.fit(
            # skip() gives the batches that an uninterrupted run would see now.
            make_batches().skip(restore.num_epochs * steps_per_round),
            epochs=_NUM_ROUNDS,
            steps_per_epoch=steps_per_round,
            callbacks=[
                # The log must be written before the backup, which marks a round as done.
                _RoundLog(log, restore.num_epochs),
                restore,
                interruption.callback(),
            ],
            shuffle=False,
        )
        with replaced_file(path) as written:
            with_class_names(student, class_names).save(written)
    shutil.rmtree(backup, ignore_errors=True)
    return load_model_file(path, is_own=True)


def read_history(folder, name):
    """The history that `train_student` logged, as `fit` returns it.

    Raises:
        ValueError: If the log is damaged.
    """
    _, _, log = _files(folder, name)
    rounds = list(_read_rounds(log).values())
    history = keras.callbacks.History()
    for key in rounds[0]:
        values = [row[key] for row in rounds]
        # Keras's CSVLogger wrote empty columns for a validation that did not take place.
        if key != "epoch" and _NOT_THERE not in values:
            history.history[key] = list(map(float, values))
    return history


class _RoundLog(keras.callbacks.Callback):
    """Logs the losses of all rounds to a table that is complete even after a kill.

    Args:
        path: The .csv file.
        num_rounds: Number of rounds that an earlier run has backed up; its log of later rounds is
            dropped.
    """

    def __init__(self, path, num_rounds):
        super().__init__()
        self._path, self._rows = path, []
        if num_rounds and path.exists():
            self._rows = [row for n, row in _read_rounds(path).items() if n < num_rounds]

    def on_epoch_end(self, epoch, logs=None):
        self._rows.append({"epoch": epoch, **dict(sorted((logs or {}).items()))})
        with (
            replaced_file(self._path) as written,
            open(written, "w", encoding="utf-8", newline="") as file,
        ):
            table = csv.DictWriter(file, self._rows[-1], extrasaction="ignore")
            table.writeheader()
            table.writerows(self._rows)


def _read_rounds(log):
    """The rows of a log by round."""
    try:
        with open(log, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        # The log of an earlier version may have a round twice.
        rounds = {int(row["epoch"]): row for row in rows}
        for key, value in (item for row in rows for item in row.items()):
            if key != "epoch" and value != _NOT_THERE:
                float(value)
        reason = None if rounds else "no rounds"
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
    if reason:
        raise ValueError(
            f"{printable(log)} must be the log of a training. Received: {reason}. Remove "
            f"{log.stem}.keras beside it, its backups and its log, and the same job trains this "
            "student again."
        )
    return rounds


def train_teacher(folder, teacher, train, seed):
    """Returns a trained teacher.

    Args:
        folder: The job's folder.
        teacher: Object with `model`, `is_ready` and, unless it is ready, `train(train, seed)`.
        train: The labelled examples.
        seed: Seed of the training.
    """
    if teacher.is_ready:
        return teacher.model
    path, *_ = _files(folder, "teacher")
    if not path.exists():
        teacher.train(train, seed)
        with replaced_file(path) as written:
            with_class_names(teacher.model, train.class_names).save(written)
    # The teacher is always loaded from the file, so that a resumed job has the same one.
    return load_model_file(path, is_own=True)
