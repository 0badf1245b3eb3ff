"""Training one student in several stages, each with its own losses."""

import contextlib
import pathlib

import keras
import tensorflow as tf

from keras_distill._arguments.checks import LARGEST_SEED
from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_seed
from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill._files.run_folder import RunFolder
from keras_distill._keras.layers import flatten_layers
from keras_distill._keras.loss_config import serialize_losses
from keras_distill.callbacks.resumable_fit import ResumableFit
from keras_distill.distillation.distiller import Distiller
from keras_distill.distillation.fit_arguments import are_arrays
from keras_distill.teachers.identity import describe_config
from keras_distill.teachers.identity import identify_teacher
from keras_distill.teaching.stages.rehearsal import check_comes_again
from keras_distill.teaching.stages.rehearsal import rehearse


class Stage:
    """One stage of `fit_stages`: its arguments of `Distiller`, `compile` and `fit`.

    Args:
        name: Name of the stage, which is its key in the histories.
        epochs: Number of epochs, at least 1.
        optimizer: An optimizer or its name. Each stage trains with a new copy of it: its
            step counts from 0. Defaults to "adam".
        loss: Loss on the labels, as in `compile`. None: this stage does not use labels, so
            `alpha=1.0` then trains on the objectives only.
        metrics: Metrics, as in `compile`.
        frozen: Layers of the student that keep their weights in this stage, such as
            `student.layers[4:]`: the layers after the hint, which no loss reads. Otherwise their
            regularisers would train them, and their batch normalisation would update statistics.
        **distiller: Arguments of `Distiller`: alpha, temperature, soft_loss, objectives,
            teacher_metrics, validate_with_teacher. Objectives hold what they have learnt, so
            make new stages for another student.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    ```python
    kd.teaching.Stage("hint", epochs=5, alpha=1.0, objectives=[hint], frozen=student.layers[4:])
    ```
    """

    def __init__(
        self, name, *, epochs, optimizer="adam", loss=None, metrics=None, frozen=(), **distiller
    ):
        if not (isinstance(name, str) and name):
            raise ValueError(f"A stage's name must be a string. Received: name={name!r}")
        epochs = check_integer("epochs", epochs)
        is_list = isinstance(frozen, (list, tuple))
        if not (is_list and all(isinstance(layer, keras.layers.Layer) for layer in frozen)):
            raise ValueError(
                "frozen must be a list of layers of the student, such as student.layers[4:]. "
                f"Received: frozen={frozen!r}"
            )
        self.name = name
        self.epochs = epochs
        self.optimizer = keras.optimizers.get(optimizer)
        self.loss = loss
        self.metrics = metrics
        self.frozen = list(frozen)
        self.distiller = distiller
        # Described now, because an "auto" projector later becomes a layer.
        self._description = {
            key: describe_config(
                serialize_losses(value)
                if key in ("loss", "soft_loss")
                else keras.saving.serialize_keras_object(value)
            )
            for key, value in {
                "epochs": epochs,
                "optimizer": self.optimizer,
                "loss": loss,
                **distiller,
            }.items()
        }

    @property
    def validates(self):
        """Whether validation has anything to measure."""
        with_teacher = self.distiller.get("validate_with_teacher", False)
        return self.loss is not None or bool(self.metrics) or with_teacher

    def fit_arguments(self, fit):
        """Dict of this stage's arguments of `fit`, given the arguments for all stages."""
        fit = {"epochs": self.epochs, **fit}
        if not self.validates:
            # Validation never runs, but validation_split stays: its examples are not for training.
            fit["validation_freq"] = self.epochs + 1
        if self.loss is None:
            # Class weights apply to labels, and this stage has none.
            fit.pop("class_weight", None)
        return fit

    def describe(self, student):
        """JSON-compatible dict of everything that the stage's result depends on."""
        layers = _layers_of(student)
        frozen = [place for place, layer in enumerate(layers) if layer in self.frozen]
        return {f"{self.name}: {key}": value for key, value in self._description.items()} | {
            f"{self.name}: frozen": frozen
        }

    def compile(self, distiller):
        """Compiles a Distiller for this stage."""
        optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
        distiller.compile(optimizer, self.loss, metrics=self.metrics)


def fit_stages(stages, x, y=None, *, student, teacher, directory=None, seed=None, **fit):
    """Trains one student in stages, each a `Distiller` with its own losses.

    FitNets trains the student up to a hint layer, then the whole student on the outputs;
    TinyBERT trains hidden layers and attention, then the outputs. Each stage begins with the
    weights of the previous stage, and with a new optimizer.

    With a `directory`, a killed run can be resumed: the same call skips the finished stages, and
    continues after the last complete epoch of the unfinished one. The batches of passed epochs
    are read again, without training, so that data that is shuffled with a seed continues as in a
    run that was not killed; arrays need no reading. Endless data, such as a generator or
    `repeat()`, continues so within its stage only: Keras reads ahead, so that the next stage
    begins a few batches earlier or later in each run. Callbacks start anew. An error tells you if
    student, teacher or stages differ from those of the folder; the data and the initial weights of
    the student are not checked.

    Args:
        stages: List of `Stage`s with different names.
        x, y: The data, as in `fit`. A stage without a loss leaves y out, also in a
            `tf.data.Dataset`; in other generators of data it cannot.
        student: A built `keras.Model`, trained in place.
        teacher: The teacher of every stage, as in `Distiller`.
        directory: Folder for this run only, or None. One process writes the trained models there,
            so it does not work with several workers.
        seed: Integer from 0: the random seed of the first stage (used for new projectors, for
            instance). Each later stage adds 1, so that a run that is resumed in a later stage
            has the same random numbers. None sets no seed.
        **fit: More arguments of every `fit`, but not epochs. A stage with neither a loss nor
            metrics validates only with `validate_with_teacher=True`, and a stage without a loss
            does not use class_weight.

    Returns:
        Dict from the stages' names to their histories: dicts from a name to a list with one
        value per epoch, including the epochs of earlier calls with this folder.

    Raises:
        ValueError: Before anything is trained, if an argument does not fit, the folder belongs to
            another run, or the first batch does not fit each stage. If the data is a
            generator, whose batches come once, a stage's first batch is checked when it begins.

    Example:

    ```python
    hint = kd.Objective(
        kd.losses.FeatureMSE(), teacher_layer="block_3", student_layer="block_2", projector="auto"
    )
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    stages = [
        kd.teaching.Stage("hint", epochs=5, alpha=1.0, objectives=[hint], frozen=behind_the_hint),
        kd.teaching.Stage("outputs", epochs=20, loss=cross_entropy, alpha=0.1),
    ]
    histories = kd.teaching.fit_stages(
        stages, images, labels, student=student, teacher=teacher, directory="run"
    )
    ```

    Reference: Romero et al. 2015, https://arxiv.org/abs/1412.6550, and Jiao et al. 2020,
    https://arxiv.org/abs/1909.10351. Deviations: FitNets lowers the weight of the teacher's
    outputs during its second stage (here, give a schedule as alpha); TinyBERT's first stages have
    another teacher, which was not fine-tuned, and other data: call this once for each teacher.
    """
    check_stages(stages, student)
    if reserved := {"epochs", "initial_epoch"}.intersection(fit):
        raise ValueError(f"Each stage has its own epochs. Received: {sorted(reserved)} for all.")
    check_comes_again(x, len(stages), fit)
    seed = check_seed("seed", seed, optional=True)
    histories = {}
    strategy = getattr(student, "distribute_strategy", tf.distribute.get_strategy())
    with strategy.scope(), contextlib.ExitStack() as run:
        distillers = [
            Distiller(student=student, teacher=teacher, **stage.distiller) for stage in stages
        ]
        # All stages are checked first, so that an error shows before the first is trained.
        for number, (stage, distiller) in enumerate(zip(stages, distillers)):
            if seed is not None:
                keras.utils.set_random_seed((seed + number) % (LARGEST_SEED + 1))
            stage.compile(distiller)
            rehearse(distiller, *_data_of(stage, x, y), stage.fit_arguments(fit))
        if directory is not None:
            settings = _settings(student, teacher, stages)
            # These decide which examples a batch has, and the order of arrays.
            batch_size = fit.get("batch_size")
            # JSON cannot write an integer of NumPy's.
            batch_size = None if batch_size is None else int(batch_size)
            settings |= {"seed": seed, "batch_size": batch_size}
            folder = RunFolder("directory", pathlib.Path(directory), "training", settings)
            run.enter_context(folder.begun())
        for number, (stage, distiller) in enumerate(zip(stages, distillers)):
            if seed is not None:
                keras.utils.set_random_seed((seed + number) % (LARGEST_SEED + 1))
            data = _data_of(stage, x, y)
            with _frozen(stage.frozen):
                how = stage.fit_arguments(fit)
                if directory is None:
                    history = distiller.fit(*data, **how).history
                else:
                    history = _fit_once(distiller, data, folder, f"stage_{number + 1}", how)
            histories[stage.name] = history
    return histories


def check_stages(stages, student):
    """Raises `ValueError` unless this is a list of stages for this student."""
    is_list = isinstance(stages, (list, tuple))
    if not (is_list and stages and all(isinstance(stage, Stage) for stage in stages)):
        raise ValueError(
            "stages must be a list of keras_distill.teaching.Stage, at least one. "
            f"Received: stages={stages!r}"
        )
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise ValueError(f"Each stage needs a name of its own. Received: {names}")
    layers = _layers_of(student)
    for stage in stages:
        if missing := [layer.name for layer in stage.frozen if layer not in layers]:
            raise ValueError(
                f"Stage {stage.name!r}: frozen must be layers of the student. Received: {missing}, "
                "which it does not have."
            )


def _fit_once(distiller, data, folder, name, how):
    """Trains one stage, or reads the files of a finished one; returns the history."""
    remedy = (
        f"Remove {name}.weights.h5 and {name}-backup from {printable(folder.path)}, and those of "
        "later stages: the same call trains them again."
    )
    fit = ResumableFit(folder.path, name, result=".weights.h5", log=".json", remedy=remedy)
    # The file includes the projectors: a later stage may continue with them.
    save = distiller.save_weights
    # fit() shuffles arrays anew, in an order that depends only on the seed.
    fit.run(distiller, *data, save=save, reads_passed=not are_arrays(data[0]), **how)
    if fit.is_done:
        _load(distiller, fit.result, remedy)
    return fit.history()


def _load(distiller, path, remedy):
    try:
        distiller.load_weights(path)
    except Exception as error:
        # Keras and h5py raise many kinds of errors for a damaged file.
        raise ValueError(
            f"{printable(path)} cannot be read as what a stage has left ({type(error).__name__}: "
            f"{one_line(error)}). {remedy}"
        ) from error


@contextlib.contextmanager
def _frozen(layers):
    """A context in which layers are not trainable; their settings are restored afterwards."""
    parts = [part for layer in layers for part in flatten_layers(layer)]
    before = [(part, part.trainable) for part in parts]
    try:
        for layer in layers:
            layer.trainable = False
        yield
    finally:
        # Setting a layer also sets the layers inside it, which come after it in the list.
        for part, trainable in before:
            part.trainable = trainable


def _data_of(stage, x, y):
    return (x, y) if stage.loss is not None else _without_labels(x, y)


def _without_labels(x, y):
    if isinstance(x, tf.data.Dataset) and type(x.element_spec) is tuple:
        return x.map(_leave_out_labels, num_parallel_calls=tf.data.AUTOTUNE), None
    return x, None


def _leave_out_labels(x, y=None, *sample_weight):
    # The empty tuple replaces None, which tf.distribute cannot carry.
    return (x, (), *sample_weight) if sample_weight else (x,)


def _settings(student, teacher, stages):
    settings = {
        "student": identify_teacher(student, version="")["config"],
        "teacher": identify_teacher(teacher, version="")["weights"],
        "stages": [stage.name for stage in stages],
    }
    for stage in stages:
        settings |= stage.describe(student)
    return settings


def _layers_of(student):
    # The Distiller raises the error for a student that is not a model.
    is_model = isinstance(student, keras.Model)
    return flatten_layers(student, include_self=False) if is_model else []
