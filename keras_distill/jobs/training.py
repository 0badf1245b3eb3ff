"""Trains one model of a job, once: what is in the folder already is taken from there."""

import csv
import shutil

import keras

from keras_distill.backup import BackupAndRestore
from keras_distill.destination import check_destination
from keras_distill.destination import replaced_file
from keras_distill.distiller import Distiller
from keras_distill.jobs import interruption
from keras_distill.layers.class_names import with_class_names
from keras_distill.model_files import load_model_file
from keras_distill.printable import one_line
from keras_distill.printable import printable
from keras_distill.teachers import WarmupLinearDecay

# Rounds of a training: after each there is a backup.
_NUM_ROUNDS = 10
_NOT_THERE = "NA"


def check_training(folder, name):
    """Raises unless a trained model, its backups and its log can be written.

    Args:
        folder: The job's folder, a `pathlib.Path`.
        name: Of the model's files.
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
    """Returns a trained student; killed, the same call goes on behind the last round.

    Args:
        folder: The job's folder, a `pathlib.Path`.
        name: Of its files.
        make_student: Function without arguments that builds the student.
        make_batches: Function without arguments that makes its endless batches.
        class_names: Names of the classes, which the file gets.
        num_steps: Number of steps.
        learning_rate: Peak of a warm-up and a linear decay.
        hard_loss: Loss on the labels.
        seed: Of weights and dropout.
        **how: Arguments of the `Distiller`; none: the student learns from the labels alone.
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
        _keep_rounds(log, restore.num_epochs)
        learner.fit(
            # The batches that an unbroken run would see now.
            make_batches().skip(restore.num_epochs * steps_per_round),
            epochs=_NUM_ROUNDS,
            steps_per_epoch=steps_per_round,
            callbacks=[
                # A round is in the log before it counts as done.
                keras.callbacks.CSVLogger(log, append=True),
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
    """What `train_student` logged, as `fit` returns it.

    Raises:
        ValueError: If the log is damaged.
    """
    path, _, log = _files(folder, name)
    history = keras.callbacks.History()
    try:
        with open(log, encoding="utf-8", newline="") as file:
            # Of a run of an earlier version a round may be there twice.
            rounds = {int(row["epoch"]): row for row in csv.DictReader(file)}
        for key in next(iter(rounds.values())):
            values = [row[key] for row in rounds.values()]
            # Keras has columns for a validation that there was not.
            if key != "epoch" and _NOT_THERE not in values:
                history.history[key] = [float(value) for value in values]
    except (OSError, ValueError, KeyError, TypeError, StopIteration, csv.Error) as error:
        raise ValueError(
            f"{printable(log)} must be the log of a training. Received: "
            f"{type(error).__name__}: {one_line(error)}. Remove {path.name} beside it, and the "
            "same job trains this student again."
        ) from error
    return history


def _keep_rounds(log, num_rounds):
    """Leaves the first rounds in a log: a later one was not backed up, or not written whole."""
    if not log.exists():
        return
    header, *rows = log.read_bytes().splitlines(keepends=True) or [b""]
    kept = [row for row in rows if row.split(b",")[0] in {b"%d" % n for n in range(num_rounds)}]
    with replaced_file(log) as written:
        written.write_bytes(b"".join([header, *kept] if kept else []))


def train_teacher(folder, teacher, train, seed):
    """Returns a trained teacher.

    Args:
        folder: The job's folder.
        teacher: Has `model`, `is_ready`, and unless it is ready `train(train, seed)`.
        train: The labelled examples.
        seed: Of the training.
    """
    if teacher.is_ready:
        return teacher.model
    path, *_ = _files(folder, "teacher")
    if not path.exists():
        teacher.train(train, seed)
        with replaced_file(path) as written:
            with_class_names(teacher.model, train.class_names).save(written)
    # From the file in any case, so that a job that was stopped has the same teacher.
    return load_model_file(path, is_own=True)
