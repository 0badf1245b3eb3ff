"""Damaged files of stores, and of the folders of runs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_distill as kd
from keras_distill._files.run_folder import RunFolder
from keras_distill.jobs.training import read_history

pytestmark = pytest.mark.long

X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
SETTINGS = {"train": "train.csv", "seed": 0, "unlabelled": ["more.txt"], "alpha": 0.1}


def read_store(path):
    store = kd.TeacherStore.open(path)
    ((inputs,),) = store.attach(tf.data.Dataset.from_tensor_slices(X)).batch(len(X)).map(_in_tuple)
    outputs = inputs.teacher_outputs
    outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
    return {name: values.numpy() for name, values in outputs.items()}


def _in_tuple(x):
    return (x,)


def open_store(path):
    """Of texts: their ids are not needed to see that a store is damaged."""
    return len(kd.TeacherStore.open(path))


def read_log(path):
    return read_history(path.parent, path.stem).history


def read_settings(path):
    """The folder of a run; the settings are those of the run that goes on."""
    return str(RunFolder("output", path, "job", SETTINGS).has("job.json"))


def small_student():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(3), keras.layers.Dropout(0.5), keras.layers.Dense(2)]
    student = keras.Sequential([keras.Input((4,)), *layers])
    student.compile("adam", "mse")
    return student


def read_backup(path):
    """It is restored before anything is trained."""
    student = small_student()
    backup = kd.callbacks.BackupAndRestore(path)
    backup.set_model(student)
    backup.on_train_begin()
    return student.get_weights()


def teacher():
    x = keras.Input((4,))
    hidden = keras.layers.Dense(3, "tanh", name="hidden")(x)
    return keras.Model(x, keras.layers.Dense(3, "softmax")(hidden))


@pytest.fixture(scope="module")
def examples():
    return tf.data.Dataset.from_tensor_slices(X)


@pytest.mark.rounds(600)
def test_stores(examples, tmp_path, fuzz):
    settings = {"taps": ("output", "hidden"), "shards": 2, "verbose": 0}
    kd.TeacherStore.build(examples, teacher(), tmp_path / "s", **settings)
    assert fuzz(read_store, tmp_path / "s", is_checked=True)["read"] > 0


@pytest.mark.rounds(200)
def test_stores_of_the_most_likely_classes(examples, tmp_path, fuzz):
    kd.TeacherStore.build(examples, teacher(), tmp_path / "s", top_k=2, verbose=0)
    assert fuzz(read_store, tmp_path / "s", is_checked=True)["read"] > 0


@pytest.mark.rounds(200)
def test_arrays_that_are_listed_as_they_are(examples, tmp_path, fuzz):
    """Somebody wrote the checksums of other arrays."""
    kd.TeacherStore.build(examples, teacher(), tmp_path / "s", verbose=0)
    assert fuzz(open_store, tmp_path / "s", files="*.json")["ValueError"] > 0


@pytest.mark.rounds(400)
def test_logs(tmp_path, fuzz):
    rounds = [f"{number},0.5,{1 / (number + 1)},NA" for number in range(10)]
    (tmp_path / "alone.csv").write_text("\n".join(["epoch,accuracy,loss,val_loss", *rounds, ""]))
    assert fuzz(read_log, tmp_path / "alone.csv")["read"] > 0


@pytest.mark.rounds(400)
def test_settings_of_a_run(tmp_path, fuzz):
    with RunFolder("output", tmp_path / "run", "job", SETTINGS).begun():
        pass
    assert fuzz(read_settings, tmp_path / "run", files="job.json")["read"] > 0


@pytest.mark.rounds(100)
def test_backups(tmp_path, fuzz):
    student = small_student()
    student.fit(
        X, X[:, :2], callbacks=[kd.callbacks.BackupAndRestore(tmp_path / "b", False)], verbose=0
    )
    assert fuzz(read_backup, tmp_path / "b")["read"] > 0
