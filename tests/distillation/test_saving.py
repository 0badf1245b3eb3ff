"""Saving, resuming and reloading: student, projectors and optimizer, never the teacher."""

import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import Objective
from keras_distill import losses
from keras_distill.callbacks import BackupAndRestore

RNG = np.random.default_rng(2)
FEATURES = RNG.normal(size=(24, 6)).astype("float32")
LABELS = RNG.integers(0, 4, 24)


def mlp(width, name):
    hidden = layers.Dense(width, "relu", name="hidden")
    head = layers.Dense(4, name="logits")
    return keras.Sequential([keras.Input((6,)), hidden, layers.Dropout(0.3), head], name=name)


def teacher():
    keras.utils.set_random_seed(11)
    return mlp(500, "teacher")


def new_distiller(the_teacher=None, **kwargs):
    keras.utils.set_random_seed(7)
    objective = Objective(
        losses.FeatureMSE(),
        teacher_layer="hidden",
        student_layer="hidden",
        projector="auto",
        name="hint",
    )
    kwargs.setdefault("objectives", [objective])
    distiller = Distiller(
        student=mlp(5, "student"), teacher=the_teacher or teacher(), alpha=0.3, **kwargs
    )
    distiller.compile(
        keras.optimizers.Adam(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return distiller


def fit(distiller, epochs, **kwargs):
    return distiller.fit(
        FEATURES, LABELS, batch_size=8, epochs=epochs, shuffle=False, verbose=0, **kwargs
    )


def assert_equal_weights(distiller, other, atol=1e-6):
    assert len(distiller.weights) == len(other.weights) == 6
    for expected, actual in zip(other.weights, distiller.weights):
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), atol=atol, rtol=0)


@pytest.fixture(scope="module")
def uninterrupted():
    distiller = new_distiller()
    fit(distiller, epochs=4)
    return distiller


class Interruption(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.long_but_first
@pytest.mark.parametrize("epoch", [1, 3])
def test_backup_and_restore_resumes_exactly(tmp_path, uninterrupted, epoch):
    """Also the projector, the optimizer's moments and the dropout's random state."""
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        fit(new_distiller(), 4, callbacks=[backup, Interruption(epoch)])
    resumed = new_distiller()
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    history = fit(resumed, 4, callbacks=[backup]).history
    assert len(history["loss"]) == 4 - epoch
    assert_equal_weights(resumed, uninterrupted)


@pytest.mark.parametrize("epoch", [pytest.param(1, marks=pytest.mark.long), 3])
def test_a_fit_after_a_resumed_one_begins_anew(tmp_path, epoch):
    """Keras keeps the epoch at which it began: the next fit would train less, or nothing."""
    distiller = new_distiller()
    callbacks = [BackupAndRestore(tmp_path, delete_checkpoint=False)]
    fit(distiller, epoch, callbacks=callbacks)
    assert fit(distiller, 3, callbacks=callbacks).epoch == list(range(epoch, 3))
    assert fit(distiller, 2).epoch == [0, 1]


@pytest.mark.long
def test_backup_and_restore_with_carried_outputs(tmp_path):
    """The projector's shape comes from the data alone, and before the callback restores."""
    hidden = RNG.normal(size=(24, 9)).astype("float32")
    outputs = {"output": RNG.normal(size=(24, 4)).astype("float32"), "hidden": hidden}
    x = DistillationInputs(FEATURES, (), outputs)
    weights = []
    for interrupted in (False, True):
        for epoch in [2, None] if interrupted else [None]:
            distiller = new_distiller()
            distiller.teacher = None
            callbacks = [keras.callbacks.BackupAndRestore(tmp_path / f"{interrupted}")]
            if epoch:
                callbacks.append(Interruption(epoch))
            args = {"batch_size": 8, "epochs": 4, "shuffle": False, "verbose": 0}
            try:
                distiller.fit(x, LABELS, callbacks=callbacks, **args)
            except KeyboardInterrupt:
                continue
            weights.append(distiller)
    assert_equal_weights(*weights)


@pytest.mark.long_but_first
@pytest.mark.parametrize("save_freq", ["epoch", 2])
def test_model_checkpoint_resumes_exactly(tmp_path, uninterrupted, save_freq):
    path = tmp_path / "{epoch}.keras"
    fit(new_distiller(), 2, callbacks=[keras.callbacks.ModelCheckpoint(path, save_freq=save_freq)])
    resumed = keras.models.load_model(tmp_path / "2.keras")
    assert resumed.teacher is None
    resumed.teacher = teacher()
    fit(resumed, 4, initial_epoch=2)
    if save_freq == "epoch":
        assert_equal_weights(resumed, uninterrupted)


@pytest.mark.long
def test_reload_keeps_everything(tmp_path):
    schedule = keras.optimizers.schedules.CosineDecay(0.8, 100)
    objectives = [
        Objective(
            losses.FeatureCosine(),
            teacher_layer="hidden",
            student_layer="hidden",
            weight=schedule,
            projector="auto",
            name="cosine",
        ),
        Objective(losses.LogitsMSE(), teacher_layer="output", student_layer="logits", weight=0.1),
    ]
    distiller = new_distiller(
        soft_loss=losses.SoftTargetKL(temperature=2.0),
        objectives=objectives,
        validate_with_teacher=True,
    )
    fit(distiller, 1)
    distiller.save(tmp_path / "d.keras")
    reloaded = keras.models.load_model(tmp_path / "d.keras")
    for key in ("soft_loss", "validate_with_teacher", "alpha", "temperature", "name"):
        assert reloaded.get_config()[key] == distiller.get_config()[key]
    for before, after in zip(distiller.objectives, reloaded.objectives):
        for key in ("loss", "teacher_layer", "student_layer", "weight", "name"):
            assert before.get_config()[key] == after.get_config()[key]
    reloaded.teacher = distiller.teacher
    evaluations = [
        model.evaluate(FEATURES, LABELS, verbose=0, return_dict=True)
        for model in (distiller, reloaded)
    ]
    assert evaluations[0] == pytest.approx(evaluations[1])
    assert {"loss", "soft_loss", "cosine", "logits_mse", "accuracy"} <= set(evaluations[0])
    np.testing.assert_allclose(
        reloaded.predict(FEATURES, verbose=0), distiller.predict(FEATURES, verbose=0)
    )


@pytest.mark.long
def test_save_weights_restores_projector_and_optimizer(tmp_path, uninterrupted):
    """Into a Distiller that has not seen a batch, so whose projector is not built."""
    distiller = new_distiller()
    fit(distiller, 2)
    distiller.save_weights(tmp_path / "d.weights.h5")
    resumed = new_distiller()
    resumed.load_weights(tmp_path / "d.weights.h5")
    fit(resumed, 4, initial_epoch=2)
    assert_equal_weights(resumed, uninterrupted)


def test_files_hold_no_teacher(tmp_path):
    """The built-in Distiller's checkpoint is eight times the student's."""
    distiller = new_distiller(objectives=[])
    fit(distiller, 1)
    distiller.save(tmp_path / "d.keras")
    distiller.save_weights(tmp_path / "d.weights.h5")
    with zipfile.ZipFile(tmp_path / "d.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
    num_student = distiller.student.count_params()
    for name in ("d.weights.h5", "model.weights.h5"):
        with h5py.File(tmp_path / name) as file:
            names = []
            file.visit(names.append)
            sizes = [getattr(file[name], "size", 0) for name in names]
        # The weights, Adam's two moments of each; counters, metrics and random states.
        assert 3 * num_student <= sum(sizes) < 3 * num_student + 40
    with zipfile.ZipFile(tmp_path / "d.keras") as archive:
        config = archive.read("config.json").decode()
    assert '"student"' in config
    assert '"teacher"' not in config


def test_no_weights_of_the_teacher():
    distiller = new_distiller()
    fit(distiller, 1)
    own = {id(v) for v in distiller.teacher.variables}
    for attribute in ("weights", "variables", "trainable_weights", "non_trainable_weights"):
        assert not own & {id(v) for v in getattr(distiller, attribute)}
    assert distiller.count_params() == distiller.student.count_params() + 5 * 500 + 500


@pytest.mark.long
def test_exported_student_has_no_projector(tmp_path):
    distiller = new_distiller()
    fit(distiller, 1)
    distiller.student.save(tmp_path / "student.keras")
    script = (
        "import sys, keras; m = keras.models.load_model(sys.argv[1]);"
        "assert 'keras_distill' not in sys.modules; print(m.count_params())"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "student.keras")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) == 6 * 5 + 5 + 5 * 4 + 4


def test_alpha_set_later_is_saved(tmp_path):
    distiller = new_distiller(objectives=[])
    distiller.alpha = 0.75
    fit(distiller, 1)
    distiller.save(tmp_path / "d.keras")
    assert keras.models.load_model(tmp_path / "d.keras").alpha == 0.75


@pytest.mark.long_but_first
@pytest.mark.parametrize("is_compiled", [True, False])
def test_loads_without_an_optimizer(tmp_path, is_compiled):
    """Saved before compile(), or loaded with compile=False; compiled then, it trains."""
    distiller = (
        new_distiller() if is_compiled else Distiller(student=mlp(5, "student"), teacher=teacher())
    )
    if is_compiled:
        fit(distiller, 1)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras", compile=False)
    np.testing.assert_array_equal(loaded.student(FEATURES), distiller.student(FEATURES))
    loaded.teacher = teacher()
    loaded.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(fit(loaded, 1).history["loss"]).all()


def test_export_is_that_of_the_student(tmp_path):
    """A Distiller's own call is never recorded: Keras says of it that it was never called."""
    distiller = new_distiller()
    distiller.fit(FEATURES, LABELS, verbose=0)
    distiller.export(str(tmp_path / "served"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    expected = distiller.student(FEATURES, training=False)
    np.testing.assert_allclose(served.serve(FEATURES), expected, atol=1e-6)
