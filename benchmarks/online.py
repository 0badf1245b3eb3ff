"""Whether a small network learns more beside others than alone.

    python benchmarks/online.py FOLDER_OF_IDX_FILES

The network is a trunk of one convolution and a head of another. It trains alone; as one of two
peers (mutual learning); as the light net beside a booster on the same trunk (rocket launching);
and as one of three branches on one trunk (ONE). Each run takes the same steps over the same
images. At weight 0 the networks train beside one another but do not teach: what is left is what
the shared trunk does. Prints the mean and standard deviation of the test accuracy over the seeds.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import idx_files
import keras
import numpy as np
from keras import layers

from keras_distill.teaching import MutualLearning
from keras_distill.teaching import NativeEnsemble
from keras_distill.teaching import RocketLaunching

BATCH_SIZE = 50


def network(shape, *widths, name, classes=True):
    parts = [keras.Input(shape)]
    for width in widths:
        parts.append(layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False))
        parts += [layers.BatchNormalization(momentum=0.9), layers.ReLU()]
    if classes:
        parts += [layers.GlobalAveragePooling2D(), layers.Dense(10)]
    return keras.Sequential(parts, name=name)


def whole(name="alone"):
    return network((28, 28, 1), 16, 32, name=name)


def trunk():
    return network((28, 28, 1), 16, name="trunk", classes=False)


def head(name):
    return network((14, 14, 16), 32, name=name)


def booster():
    return network((14, 14, 16), 32, 64, name="booster")


def rocket(**settings):
    return RocketLaunching(light=head("light"), booster=booster(), trunk=trunk(), **settings)


def native_ensemble(**settings):
    branches = [head(f"branch_{index}") for index in range(3)]
    return NativeEnsemble(trunk=trunk(), branches=branches, **settings)


def mutual_learning(**settings):
    return MutualLearning([whole("first"), whole("second")], **settings)


# What is trained, and the outputs whose accuracies are averaged, for each row of the table.
WAYS = [
    ("alone", whole, {"alone": ("",)}),
    ("mutual learning", mutual_learning, {"a peer": ("first", "second")}),
    ("rocket launching", rocket, {"light net": ("light",), "booster": ("booster",)}),
    (
        "rocket launching, weight 0",
        lambda: rocket(weight=0.0),
        {"light net": ("light",), "booster": ("booster",)},
    ),
    (
        "ONE",
        native_ensemble,
        {"a branch": ("branch_0", "branch_1", "branch_2"), "ensemble": ("ensemble",)},
    ),
    (
        "ONE, weight 0",
        lambda: native_ensemble(weight=0.0),
        {"a branch": ("branch_0", "branch_1", "branch_2"), "ensemble": ("ensemble",)},
    ),
]


def train(build, data, num_steps, seed):
    keras.utils.set_random_seed(seed)
    model = build()
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, num_steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=20,
        jit_compile=False,
    )
    epochs = num_steps * BATCH_SIZE // len(data[0])
    model.fit(*data, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    images, labels, *test = idx_files.load(arguments.data)
    data = images[: arguments.images], labels[: arguments.images]
    print("| way | model | test accuracy |\n|---|---|---|", flush=True)
    for way, build, rows in WAYS:
        measured = []
        for seed in range(arguments.seeds):
            model = train(build, data, arguments.steps, seed)
            measured.append(model.evaluate(*test, batch_size=500, verbose=0, return_dict=True))
        for row, outputs in rows.items():
            names = [f"{output}_accuracy".lstrip("_") for output in outputs]
            values = [100 * np.mean([of_seed[name] for name in names]) for of_seed in measured]
            spread = np.std(values, ddof=1)
            print(f"| {way} | {row} | {np.mean(values):.2f} ± {spread:.2f} |", flush=True)


if __name__ == "__main__":
    main()
