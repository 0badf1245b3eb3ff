"""Trains, and saves, in processes that are killed; run by test_killed.py.

    python kill_training.py FOLDER NUM_KILLS

Each is a fork of this process, whose TensorFlow has not started any thread yet.
"""

import os
import pathlib
import random
import signal
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import tensorflow as tf

import keras_distill as kd

NUM_EPOCHS = 6


def make_distiller(width=8):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(width, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(3)]
    student = keras.Sequential([keras.Input((4,)), *layers])
    distiller = kd.Distiller(
        student=student, soft_loss=kd.losses.SoftTargetKL(teacher_from_logits=True)
    )
    distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return distiller


def examples():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, rng.integers(0, 3, 64)))


def label(folder):
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    kd.TeacherStore.build(examples(), teacher, folder / "store", verbose=0)


def train(folder):
    """Goes on if there is a backup; notes where it began."""
    store = kd.TeacherStore.open(folder.parent / "store")
    distiller = make_distiller()
    backup = kd.callbacks.BackupAndRestore(folder / "backup", delete_checkpoint=False)
    # Else all epochs would be over before the kill.
    slow = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: time.sleep(0.2))
    history = distiller.fit(
        store.attach(examples()).batch(8),
        epochs=NUM_EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=[backup, slow],
    )
    np.savez(folder / f"weights_{history.epoch[0]}.npz", *distiller.get_weights())


def save_forever(folder):
    """Of a size that takes a while; ready when there is a whole file of each kind."""
    distiller = make_distiller(width=100_000)
    distiller.optimizer.build(distiller.trainable_variables)
    while True:
        distiller.save(folder / "distiller.keras")
        distiller.save_weights(folder / "distiller.weights.h5")
        (folder / "ready").touch()


def start(function, folder):
    """Runs a function in a fork; returns its process id."""
    folder.mkdir(exist_ok=True)
    pid = os.fork()
    if pid == 0:
        function(folder)
        os._exit(0)
    return pid


def finish(function, folder):
    _, status = os.waitpid(start(function, folder), 0)
    assert status == 0


def kill(function, folder, file):
    """Kills a function at a random moment after a file is there."""
    pid = start(function, folder)
    while not (folder / file).exists():
        time.sleep(0.005)
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    time.sleep(random.uniform(0, 0.15))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def main(folder, num_kills):
    finish(label, folder)
    finish(train, folder / "undisturbed")
    for epoch in (1, 4):
        kill(train, folder / "killed", f"backup/epoch_{epoch:06d}.weights.h5")
    finish(train, folder / "killed")
    for number in range(num_kills):
        kill(save_forever, folder / f"saving_{number}", "ready")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
