"""Trains one model of a job, or loads it if the folder already has it."""

import keras

from keras_distill._files.destination import check_destination
from keras_distill._files.destination import replaced_file
from keras_distill._keras.fused_adam import FusedAdam
from keras_distill._keras.model_files import load_model_file
from keras_distill.callbacks.epoch_log import EpochLog
from keras_distill.callbacks.resumable_fit import ResumableFit
from keras_distill.distillation.distiller import Distiller
from keras_distill.jobs.held_out_log import HeldOutLog
from keras_distill.layers.class_names import with_class_names
from keras_distill.optimizers import WarmupLinearDecay

# Number of rounds of a training; each ends with a backup.
_NUM_ROUNDS = 10


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
    fit_settings,
    held_out=None,
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
        held_out: Inputs and labels of examples to log the quality on after every round; None for
            none. Nothing is chosen by them.
        fit_settings: Function from the numbers of all steps and of those done by an earlier run to
            arguments of `fit`, `Stages.of_fit`.
        **how: Arguments of the `Distiller`; without any, the student learns from labels only.
    """
    fit = ResumableFit(folder, name, result=".keras", log=".csv", remedy=_remedy(name))
    if not fit.is_done:
        keras.utils.set_random_seed(seed)
        student = make_student()
        learner = Distiller(student=student, **how) if how else student
        schedule = WarmupLinearDecay(learning_rate, num_steps)
        learner.compile(FusedAdam(schedule, global_clipnorm=1.0), hard_loss)
        callbacks = [] if held_out is None else [HeldOutLog(student, *held_out)]
        steps_per_round = -(-num_steps // _NUM_ROUNDS)
        num_done = fit.num_epochs * steps_per_round
        settings = fit_settings(_NUM_ROUNDS * steps_per_round, num_done)
        fit.run(
            learner,
            # skip() gives the batches that an uninterrupted run would see now.
            make_batches().skip(num_done),
            save=lambda path: with_class_names(student, class_names).save(path),
            callbacks=[*callbacks, *settings.pop("callbacks", ())],
            epochs=_NUM_ROUNDS,
            steps_per_epoch=steps_per_round,
            shuffle=False,
            **settings,
        )
    return load_model_file(fit.result, is_own=True)


def read_history(folder, name):
    """The history that `train_student` logged, as `fit` returns it.

    Raises:
        ValueError: If the log is damaged.
    """
    *_, log = _files(folder, name)
    history = keras.callbacks.History()
    history.history = EpochLog(log, None, _remedy(name)).history()
    return history


def _remedy(name):
    return (
        f"Remove {name}.keras beside it, its backups and its log, and the same job trains this "
        "student again."
    )


def train_teacher(folder, teacher, train, seed, fit_settings):
    """Returns a trained teacher.

    Args:
        folder: The job's folder.
        teacher: Object with `model`, `is_ready` and, unless it is ready, `train(train, seed,
            fit_settings)`.
        train: The labelled examples.
        seed: Seed of the training.
        fit_settings: As for `train_student`.
    """
    if teacher.is_ready:
        return teacher.model
    path, *_ = _files(folder, "teacher")
    if not path.exists():
        teacher.train(train, seed, fit_settings)
        with replaced_file(path) as written:
            with_class_names(teacher.model, train.class_names).save(written)
    # The teacher is always loaded from the file, so that a resumed job has the same one.
    return load_model_file(path, is_own=True)
