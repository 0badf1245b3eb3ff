"""What a training step of each way to teach takes, over a step of plain fit of the student alone.

    python benchmarks/teaching_time.py [--rounds 5]

The student has two convolutions (32, 64), each teacher three (64, 128, 256), the booster the last
two of these behind the trunk; the images are random, of 32x32x3. All ways train on the same 50
batches of 64, in turn; prints minimum, median and maximum of the rounds. Ways that are several
trainings one after the other cost what these cost by themselves.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from online import network

import keras_distill as kd

SHAPE, BATCH_SIZE, NUM_STEPS = (32, 32, 3), 64, 50
TASKS = ("first", "second")
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def student(name="student"):
    return network(SHAPE, 32, 64, name=name)


def teacher(name="teacher"):
    return network(SHAPE, 64, 128, 256, name=name)


def trunk():
    return network(SHAPE, 32, name="trunk", classes=False)


def branch(*widths, name):
    return network((16, 16, 32), *widths, name=name)


def teachers():
    return [teacher(f"teacher_{index}") for index in range(3)]


def of_two_tasks():
    image = keras.Input(SHAPE)
    features = network(SHAPE, 32, 64, name="features", classes=False)(image)
    pooled = layers.GlobalAveragePooling2D()(features)
    return keras.Model(image, {task: layers.Dense(10, name=task)(pooled) for task in TASKS})


def two_tasks():
    of_tasks = kd.teachers.TaskTeachers({task: teacher(f"teacher_{task}") for task in TASKS})
    return kd.Distiller(student=of_two_tasks(), teacher=of_tasks)


def annealed():
    fall = keras.optimizers.schedules.PolynomialDecay
    loss = kd.losses.SoftTargetKL(fall(4.0, 1000, 1.0))
    return kd.Distiller(
        student=student(), teacher=teacher(), alpha=fall(0.0, 1000, 1.0), soft_loss=loss
    )


def specialists():
    groups = [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    heads = [
        keras.Sequential([*teacher(f"teacher_{index}").layers[:-1], layers.Dense(4)])
        for index in range(3)
    ]
    loss = kd.losses.SpecialistKL(groups, temperature=2.0)
    return kd.Distiller(student=student(), teacher=kd.teachers.Specialists(heads), soft_loss=loss)


def rocket():
    light, booster = branch(64, name="light"), branch(128, 256, name="booster")
    return kd.teaching.RocketLaunching(light=light, booster=booster, trunk=trunk())


def native_ensemble():
    return kd.teaching.NativeEnsemble(
        trunk=trunk(), branches=[branch(64, name=f"branch_{index}") for index in range(3)]
    )


# For each way its model, and the data that it trains on.
WAYS = {
    "alone": (student, "labels"),
    "alone, pruned": (student, "labels"),
    "one teacher": (lambda: kd.Distiller(student=student(), teacher=teacher()), "labels"),
    "one teacher, its answers stored": (
        lambda: kd.Distiller(
            student=student(), soft_loss=kd.losses.SoftTargetKL(teacher_from_logits=True)
        ),
        "answers",
    ),
    "one teacher, another view": (
        lambda: kd.Distiller(student=student(), teacher=teacher()),
        "pairs",
    ),
    "annealed": (annealed, "labels"),
    "three teachers": (
        lambda: kd.Distiller(student=student(), teacher=kd.teachers.Ensemble(teachers())),
        "labels",
    ),
    "three teachers, by confidence": (
        lambda: kd.Distiller(
            student=student(), teacher=kd.teachers.Ensemble(teachers(), confidence=1.0)
        ),
        "labels",
    ),
    "three specialists": (specialists, "labels"),
    "two tasks": (two_tasks, "tasks"),
    "mutual learning": (
        lambda: kd.teaching.MutualLearning([student("first"), student("second")]),
        "labels",
    ),
    "rocket launching": (rocket, "labels"),
    "ONE": (native_ensemble, "labels"),
    "generator (DAFL)": (None, None),
}


def datasets():
    """The same images and labels in each of the forms that the ways take."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_STEPS, BATCH_SIZE, *SHAPE)).astype("float32")
    y = rng.integers(0, 10, x.shape[:2])
    # Of whole batches, so that no step waits for data.
    labels = tf.data.Dataset.from_tensor_slices((x, y))
    answers = kd.DistillationInputs(x, teacher_outputs=rng.normal(size=(*y.shape, 10)))
    first, second = (half.reshape(-1, *SHAPE) for half in np.split(x, 2))
    tasks = dict(zip(TASKS, [(half, y.reshape(-1)[: len(half)]) for half in (first, second)]))
    return {
        "labels": labels,
        "answers": tf.data.Dataset.from_tensor_slices((answers, y)),
        "pairs": kd.data.pair_inputs(labels, student=tf.image.flip_left_right),
        "tasks": kd.data.mix_tasks(tasks, BATCH_SIZE, seed=0),
    }


def generator():
    return keras.Sequential(
        [
            keras.Input((100,)),
            layers.Dense(8 * 8 * 32),
            layers.Reshape((8, 8, 32)),
            layers.UpSampling2D(4),
            layers.Conv2D(3, 3, padding="same"),
        ]
    )


class Stopwatch(keras.callbacks.Callback):
    """Seconds from the first batch to the end of the last.

    Not of the whole `fit`, whose end waited until 0.63, 1.27 or 2.55 s were over: as a thread that
    sleeps 10 ms, then 20, 40 and so on would make it.
    """

    def on_train_begin(self, logs=None):
        self.start = None

    def on_train_batch_begin(self, batch, logs=None):
        self.start = self.start or time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds = time.perf_counter() - self.start


def seconds_of(fit, *args, callbacks=(), **kwargs):
    """A function that trains, and returns the seconds of its steps."""

    def train():
        stopwatch = Stopwatch()
        fit(*args, callbacks=[*callbacks, stopwatch], verbose=0, **kwargs)
        return stopwatch.seconds

    return train


def epoch_of(way, data):
    """A function that trains for NUM_STEPS, and returns the seconds."""
    keras.utils.set_random_seed(0)
    build, form = WAYS[way]
    if build is None:
        distiller = kd.Distiller(student=student(), teacher=teacher(), alpha=0.0)
        distiller.compile("adam")
        model = kd.teaching.DataFree(distiller, generator())
        model.compile(keras.optimizers.Adam(1e-3))
        return seconds_of(model.fit, batch_size=BATCH_SIZE, steps_per_epoch=NUM_STEPS)
    model = build()
    model.compile("adam", dict.fromkeys(TASKS, CROSS_ENTROPY) if form == "tasks" else CROSS_ENTROPY)
    callbacks = [kd.callbacks.Pruning(0.5)] if "pruned" in way else []
    return seconds_of(model.fit, data[form], callbacks=callbacks, shuffle=False)


def print_ratios(ways, rounds, num_steps):
    """Of the seconds of `{way: train}`, to the first; all take turns in each round."""
    for train in ways.values():
        train()  # Traces.
    found = [{way: train() for way, train in ways.items()} for _ in range(rounds)]
    unit = next(iter(ways))
    print(f"{unit}: {1000 / num_steps * np.median([t[unit] for t in found]):.1f} ms a step")
    print("| way | step |\n|---|---|")
    for way in ways:
        ratios = [times[way] / times[unit] for times in found]
        row = f"{min(ratios):.2f} / {np.median(ratios):.2f} / {max(ratios):.2f}"
        print(f"| {way} | {row} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    data = datasets()
    print_ratios({way: epoch_of(way, data) for way in WAYS}, arguments.rounds, NUM_STEPS)


if __name__ == "__main__":
    main()
