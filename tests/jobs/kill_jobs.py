"""Runs a job that is killed again and again, and one that is not; run by test_training.py.

    python kill_jobs.py text|image FOLDER NUM_KILLS

Every run is a fork of this process, whose TensorFlow has not started any thread yet. It ends
where the students are trained.
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

CLINC = pathlib.Path(__file__).parents[2] / "examples" / "data" / "clinc150" / "train.tsv.gz"
NUM_ROUNDS = 10


class TextTrainings(kd.jobs.TextJob):
    def _export(self, work, student):
        os._exit(0)


class ImageTrainings(kd.jobs.ImageJob):
    def _export(self, work, student):
        os._exit(0)


def make_text_files(folder):
    examples = kd.text.read_table(CLINC)
    chosen = np.random.default_rng(0).permutation(len(examples))[:4000]
    texts, labels = (values[chosen].tolist() for values in (examples.texts, examples.labels))
    lines = [f"{text}\t{examples.class_names[label]}" for text, label in zip(texts, labels)]
    (folder / "train.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    vectorize = keras.layers.TextVectorization(2000, output_mode="multi_hot")
    vectorize.adapt(texts)
    # Labels are numbers in the order of their names.
    order = {name: number for number, name in enumerate(sorted(examples.class_names))}
    numbers = np.array([order[examples.class_names[label]] for label in labels])
    train_teacher(folder, [keras.Input((), dtype="string"), vectorize], tf.constant(texts), numbers)


def make_image_files(folder):
    rng = np.random.default_rng(0)
    y = np.arange(600) % 3
    x = rng.integers(0, 100, (600, 16, 16, 1))
    x[np.arange(600), :, 4 * y + 2] += 100
    x = x.astype("uint8")
    np.savez(folder / "train.npz", x=x, y=y)
    layers = [keras.Input((16, 16, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    train_teacher(folder, layers, x.astype("float32"), y)


def train_teacher(folder, layers, x, y):
    teacher = keras.Sequential([*layers, keras.layers.Dense(int(y.max()) + 1)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    teacher.compile(keras.optimizers.Adam(0.02), loss)
    teacher.fit(x, y, epochs=3, batch_size=64, verbose=0)
    teacher.save(folder / "teacher.keras")


def text_job(folder, name):
    train, output, teacher = (str(folder / part) for part in ("train.tsv", name, "teacher.keras"))
    TextTrainings(train, output, teacher, num_steps=150, sequence_length=16, num_threads=()).run()


def image_job(folder, name):
    train, output, teacher = (str(folder / part) for part in ("train.npz", name, "teacher.keras"))
    settings = {"num_views": 2, "width": 8, "num_steps": 80, "num_threads": ()}
    ImageTrainings(train, output, teacher, **settings).run()


def fork(function, *arguments):
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
        try:
            function(*arguments)
            status = 0
        finally:
            os._exit(status)
    return pid


def has_ended(pid, wait=False):
    ended, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
    assert not ended or status in (0, signal.SIGKILL), status
    return bool(ended)


def num_rounds(folder):
    """How many rounds of both students are in the logs."""
    logs = [folder / f"{name}.csv" for name in ("alone", "distilled")]
    return sum(max(0, log.read_bytes().count(b"\n") - 1) for log in logs if log.exists())


def run_killed(job, folder, num_kills):
    """Kills a job in so many of its rounds, at any moment of them, and at last lets it end."""
    rng = random.Random(0)
    for number in range(num_kills):
        pid = fork(job, folder, "killed")
        wanted = 1 + number * 2 * NUM_ROUNDS // num_kills
        while num_rounds(folder / "killed") < wanted and not has_ended(pid):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(pid, signal.SIGKILL)
        has_ended(pid, wait=True)
    has_ended(fork(job, folder, "killed"), wait=True)


def main(kind, folder, num_kills):
    make_files, job = {
        "text": (make_text_files, text_job),
        "image": (make_image_files, image_job),
    }[kind]
    has_ended(fork(make_files, folder), wait=True)
    has_ended(fork(job, folder, "whole"), wait=True)
    run_killed(job, folder, num_kills)


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]))
