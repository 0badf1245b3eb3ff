"""What each loss between the layers or outputs of two models is worth: one table.

    python benchmarks/objectives_accuracy.py FOLDER_OF_IDX_FILES [--seeds 3] [--only NAME ...]

The folder has the four idx .gz files of MNIST or of Fashion-MNIST. One teacher; one student, which
learns from all training images for the same number of steps under each method, with the labels
and the weights that the paper or its reference code gives, brought to the means that these losses
take. The settings are tuned on nothing. Prints the accuracy on the test set for each seed, its
mean, and the difference to the student alone, seed by seed.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from int8_accuracy import load_mnist
from keras import layers

import keras_distill as kd
from keras_distill import losses

BATCH_SIZE = 64


def network(widths, convolutions, name):
    """Three stages of 14x14, 7x7 and 4x4; taps "before_i", "block_i", "pooled" and "logits"."""
    image = x = keras.Input((28, 28, 1), name="image")
    for stage, width in enumerate(widths, 1):
        for index in range(convolutions):
            is_last = index == convolutions - 1
            strides = 2 if index == 0 else 1
            x = layers.Conv2D(width, 3, strides, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(
                momentum=0.9, name=f"before_{stage}" if is_last else None
            )(x)
            x = layers.ReLU(name=f"block_{stage}" if is_last else None)(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(image, layers.Dense(10, name="logits")(x), name=name)


def hint(loss, layer, weight, **kwargs):
    return kd.Objective(loss, layer, layer, weight=weight, name=f"{loss.name}_{layer}", **kwargs)


def on_blocks(loss, weight, **kwargs):
    """One objective for each of the three stages."""
    return [hint(loss(), f"block_{stage}", weight, **kwargs) for stage in (1, 2, 3)]


# For each method the Distiller's arguments. Alpha 1: the labels, and no soft loss.
METHODS = {
    "alone": lambda: {"alpha": 1.0},
    "soft targets (KD)": lambda: {"alpha": 0.1, "temperature": 4.0},
    "logits MSE": lambda: {"alpha": 0.5, "soft_loss": losses.LogitsMSE()},
    "hint (FitNets)": lambda: {
        "alpha": 1.0,
        "objectives": [hint(losses.FeatureMSE(), "block_2", 100.0, projector="auto")],
    },
}


def data_of(images, labels, seed):
    numbers = np.arange(len(images), dtype="int64")
    data = tf.data.Dataset.from_tensor_slices((images, numbers, labels))
    data = data.shuffle(len(images), seed=seed).repeat().batch(BATCH_SIZE)
    return data.map(lambda x, index, y: (kd.DistillationInputs(x, example_index=index), y))


def train(settings, teacher, data, steps, seed):
    """Returns the student."""
    keras.utils.set_random_seed(seed)
    student = network((8, 16, 32), 1, "student")
    distiller = kd.Distiller(student, teacher, **settings)
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    distiller.compile(
        keras.optimizers.Adam(schedule),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    distiller.fit(data, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)
    return student


def accuracy(model, images, labels):
    return 100 * np.mean(model.predict(images, batch_size=500, verbose=0).argmax(-1) == labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--only", nargs="+", default=list(METHODS))
    arguments = parser.parse_args()
    x_train, y_train, x_test, y_test = load_mnist(arguments.folder)

    keras.utils.set_random_seed(0)
    teacher = network((32, 64, 128), 1, "teacher")
    teacher.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, 3000)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    teacher.fit(x_train, y_train, batch_size=128, epochs=6, verbose=2)
    print(f"teacher {accuracy(teacher, x_test, y_test):.2f}, {teacher.count_params()} parameters")

    alone = None
    for name in arguments.only:
        found = []
        for seed in range(arguments.seeds):
            data = data_of(x_train, y_train, seed)
            student = train(METHODS[name](), teacher, data, arguments.steps, seed)
            found.append(accuracy(student, x_test, y_test))
            keras.backend.clear_session()
        found = np.array(found)
        alone = found if alone is None else alone
        gains = ", ".join(f"{gain:+.2f}" for gain in found - alone)
        print(f"| {name} | {found.mean():.2f} ± {found.std(ddof=1):.2f} | {gains} |", flush=True)


if __name__ == "__main__":
    main()
