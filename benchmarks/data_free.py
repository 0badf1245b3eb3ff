"""What a student learns without its teacher's data: MNIST without MNIST, one table.

    python benchmarks/data_free.py FOLDER_OF_IDX_FILES [--seeds 3]

The folder has the four idx .gz files of MNIST. One teacher, a LeNet, learns from the training set,
which is then read only for the statistics, and for the row "real images", without labels. Each
student, a LeNet of half the width, starts anew and takes the same number of steps on the soft
targets of its transfer set. The settings are tuned on nothing.
"""

import argparse
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import idx_files
import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_distill as kd

BATCH_SIZE = 64
NUM_GENERATED = 128  # In a step of the generator.
NUM_SYNTHESIZED = 1000
SYNTHESIS_STEPS = 100
TOP_LAYER = ["logits"]
ALL_LAYERS = ["conv_1", "conv_2", "hidden_1", "hidden_2", "logits"]


def lenet(width, name):
    """LeNet-5 with ReLU and same padding; width is relative to the original."""

    def convolution(filters, number):
        return layers.Conv2D(filters, 5, padding="same", activation="relu", name=f"conv_{number}")

    def dense(units, number):
        return layers.Dense(units, activation="relu", name=f"hidden_{number}")

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            convolution(int(6 * width), 1),
            layers.MaxPooling2D(),
            convolution(int(16 * width), 2),
            layers.MaxPooling2D(),
            layers.Flatten(),
            dense(int(120 * width), 1),
            dense(int(84 * width), 2),
            layers.Dense(10, name="logits"),
        ],
        name=name,
    )


def small_generator():
    """A narrow one of the paper's kind: two upsamplings, batch normalization, pixels 0 to 1."""
    return keras.Sequential(
        [
            keras.Input((100,)),
            layers.Dense(7 * 7 * 32),
            layers.Reshape((7, 7, 32)),
            layers.BatchNormalization(),
            layers.UpSampling2D(),
            layers.Conv2D(32, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.2),
            layers.UpSampling2D(),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.2),
            layers.Conv2D(1, 3, padding="same"),
            layers.BatchNormalization(center=False, scale=False),
            layers.Activation("sigmoid"),
        ],
        name="generator",
    )


def compiled_distiller(teacher, num_steps):
    distiller = kd.Distiller(
        student=lenet(0.5, "student"), teacher=teacher, alpha=0.0, temperature=4.0
    )
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, num_steps)
    distiller.compile(keras.optimizers.Adam(schedule))
    return distiller


def taught_on(images):
    """A student taught on a fixed transfer set."""

    def teach(teacher, seed, num_steps):
        distiller = compiled_distiller(teacher, num_steps)
        data = tf.data.Dataset.from_tensor_slices(images(teacher, seed))
        data = data.shuffle(60_000, seed=seed).repeat().batch(BATCH_SIZE)
        distiller.fit(data, steps_per_epoch=num_steps, shuffle=False, verbose=0)
        return distiller.student

    return teach


def taught_by_generator(teacher, seed, num_steps):
    data_free = kd.teaching.DataFree(
        compiled_distiller(teacher, num_steps), small_generator(), features="hidden_2", seed=seed
    )
    data_free.compile(keras.optimizers.Adam(1e-3))
    history = data_free.fit(batch_size=NUM_GENERATED, steps_per_epoch=num_steps, verbose=0).history
    print({name: round(values[-1], 3) for name, values in history.items()})
    return data_free.distiller.student


def ways(x, y):
    """Dict from the name of a transfer set to a function that teaches a student."""

    def synthesized(taps):
        def make(teacher, seed):
            data = tf.data.Dataset.from_tensor_slices((x, y)).batch(500)
            statistics = kd.teaching.record_statistics(teacher, data, taps)
            return kd.teaching.synthesize(
                teacher,
                statistics,
                NUM_SYNTHESIZED,
                num_steps=SYNTHESIS_STEPS,
                batch_size=250,
                seed=seed,
            )

        return taught_on(make)

    def uniform_noise(teacher, seed):
        return np.random.default_rng(seed).uniform(size=(20_000, 28, 28, 1)).astype("float32")

    def pixel_noise(teacher, seed):
        noise = np.random.default_rng(seed).normal(x.mean(), x.std(), (20_000, 28, 28, 1))
        return noise.clip(0, 1).astype("float32")

    return {
        "real images, as many as are synthesized": taught_on(
            lambda teacher, seed: x[seed * NUM_SYNTHESIZED :][:NUM_SYNTHESIZED]
        ),
        "uniform noise": taught_on(uniform_noise),
        "noise with the pixels' mean and deviation": taught_on(pixel_noise),
        "statistics of the top layer": synthesized(TOP_LAYER),
        "statistics of all layers": synthesized(ALL_LAYERS),
        "generator (DAFL)": taught_by_generator,
        "real images, no labels": taught_on(lambda teacher, seed: x),
    }


def accuracy(model, images, labels):
    return 100 * np.mean(model.predict(images, batch_size=500, verbose=0).argmax(-1) == labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--only", nargs="+")
    arguments = parser.parse_args()
    x_train, y_train, x_test, y_test = idx_files.load(arguments.folder)
    keras.utils.set_random_seed(0)
    teacher = lenet(1.0, "teacher")
    teacher.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, 938)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    teacher.fit(x_train, y_train, batch_size=128, epochs=2, verbose=2)
    print(f"teacher {accuracy(teacher, x_test, y_test):.2f}", flush=True)
    found = {}
    for seed in range(arguments.seeds):
        for name, teach in ways(x_train, y_train).items():
            if arguments.only is None or name in arguments.only:
                keras.utils.set_random_seed(seed)
                start = time.perf_counter()
                student = teach(teacher, seed, arguments.steps)
                found.setdefault(name, []).append(accuracy(student, x_test, y_test))
                seconds = time.perf_counter() - start
                print(f"{seed} {name}: {found[name][-1]:.2f}, {seconds:.0f} s", flush=True)
    for name, values in found.items():
        each = " | ".join(f"{value:.2f}" for value in values)
        print(f"| {name} | {each} | {np.mean(values):.2f} |")


if __name__ == "__main__":
    main()
