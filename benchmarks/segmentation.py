"""Pixel-wise distillation and auxiliary tasks: what they are worth for a small encoder-decoder.

    python benchmarks/segmentation.py FOLDER_OF_IDX_FILES [--seeds 3] [--steps 1500]

The folder has the four idx .gz files of MNIST. An image is a canvas of 32x32 with one digit and
noise of 0.3; the classes of the pixels are the digits and, as 10, the background. Training has
2,000 canvases of training digits, the test 500 of test digits. One teacher; one student, which
takes the same number of steps by each method:

    alone                     on the labels
    pixel-wise                on the labels and the teacher's distribution at each pixel
    a tenth labelled          on the labels of 200 canvases
    pixel-wise, a tenth       the same, and on the teacher's distributions of all canvases
    background 1.5            as the row before, with a weight of 1.5 of the background in the soft
                              loss (Chen et al. 2017)
    background 0.5            likewise
    auxiliary tasks           a student that learns contours and the image without noise from labels
                              (PAD-Net), and segments from what it predicts of them, too
    the same, not taught      that student, whose outputs in between have no loss

Prints the mean intersection over union of the 11 classes for each method and seed.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import idx_files
import keras
import numpy as np
from keras import layers

import keras_distill as kd
from keras_distill import losses

SIZE = 32
BACKGROUND = 10
BATCH_SIZE = 16
WIDTH = 8


def canvases(digits, classes, number, seed):
    """Noisy images, the classes of their pixels, and what the auxiliary tasks are."""
    rng = np.random.default_rng(seed)
    clean = np.zeros((number, SIZE, SIZE), "float32")
    labels = np.full(clean.shape, BACKGROUND, "int32")
    for canvas, pixels in zip(clean, labels):
        index = rng.integers(len(digits))
        top, left = rng.integers(0, SIZE - 28 + 1, 2)
        place = np.s_[top : top + 28, left : left + 28]
        canvas[place] = digits[index].reshape(28, 28)
        pixels[place][canvas[place] > 0.3] = classes[index]
    # Where a neighbour to the right or below is of another class.
    padded = np.pad(labels, ((0, 0), (0, 1), (0, 1)), mode="edge")
    contours = (labels != padded[:, 1:, :-1]) | (labels != padded[:, :-1, 1:])
    noisy = clean + rng.normal(0, 0.3, clean.shape).astype("float32")
    tasks = {"contours": contours[..., None].astype("float32"), "clean": clean[..., None]}
    return noisy[..., None], labels, tasks


def convolution(x, width, strides=1):
    x = layers.Conv2D(width, 3, strides, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def encoder_decoder(width, tasks=()):
    """Logits of 11 classes at each pixel; with tasks, a dict of theirs, too."""
    image = keras.Input((SIZE, SIZE, 1), name="image")
    fine = convolution(image, width, 2)
    middle = convolution(fine, 2 * width, 2)
    coarse = convolution(convolution(middle, 4 * width, 2), 4 * width)
    for skipped in (middle, fine):
        coarse = layers.UpSampling2D()(coarse)
        coarse = convolution(layers.Concatenate()([coarse, skipped]), skipped.shape[-1])
    decoded = layers.UpSampling2D(interpolation="bilinear")(coarse)
    outputs = {name: layers.Conv2D(1, 3, padding="same", name=name)(decoded) for name in tasks}
    if tasks:
        decoded = layers.Concatenate()([decoded, *outputs.values()])
    logits = layers.Conv2D(11, 3, padding="same", name="classes")(decoded)
    return keras.Model(image, {"classes": logits, **outputs} if tasks else logits)


def train(student, x, y, steps, seed, teacher=None, alpha=1.0, soft_loss=None, loss=None):
    keras.utils.set_random_seed(seed)
    soft_loss = soft_loss or losses.SoftTargetKL(1.0)
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=alpha, soft_loss=soft_loss)
    distiller.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, steps)),
        loss=loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    epochs = round(steps / np.ceil(len(x) / BATCH_SIZE))
    distiller.fit(x, y, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    return student


def mean_iou(student, x, labels):
    logits = student.predict(x, batch_size=100, verbose=0)
    if isinstance(logits, dict):
        logits = logits["classes"]
    metric = keras.metrics.MeanIoU(BACKGROUND + 1)
    metric.update_state(labels, np.argmax(logits, axis=-1))
    return float(metric.result())


def students(x, y, tasks, teacher, steps):
    """For each method a function from a seed to its student."""
    classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    contours = keras.losses.BinaryCrossentropy(from_logits=True)
    in_between = {"classes": classes, "contours": contours, "clean": "mean_squared_error"}
    tenth = slice(None, None, 10)
    # 255 marks pixels without a label.
    y_of_tenth = np.full_like(y, 255)
    y_of_tenth[tenth] = y[tenth]
    ignoring = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)

    def with_tasks(seed, loss):
        student = encoder_decoder(WIDTH, tasks=tasks)
        return train(student, x, {"classes": y, **tasks}, steps, seed, loss=loss)

    def with_a_tenth(seed, soft_loss):
        student = encoder_decoder(WIDTH)
        settings = {"alpha": 0.5, "soft_loss": soft_loss, "loss": ignoring}
        return train(student, x, y_of_tenth, steps, seed, teacher, **settings)

    def with_background(weight):
        return losses.ClassWeightedSoftTargets([1.0] * BACKGROUND + [weight])

    return {
        "alone": lambda seed: train(encoder_decoder(WIDTH), x, y, steps, seed),
        "pixel-wise": lambda seed: train(
            encoder_decoder(WIDTH), x, y, steps, seed, teacher, alpha=0.5
        ),
        "a tenth labelled": lambda seed: train(
            encoder_decoder(WIDTH), x[tenth], y[tenth], steps, seed
        ),
        "pixel-wise, a tenth": lambda seed: with_a_tenth(seed, losses.SoftTargetKL(1.0)),
        "background 1.5": lambda seed: with_a_tenth(seed, with_background(1.5)),
        "background 0.5": lambda seed: with_a_tenth(seed, with_background(0.5)),
        "auxiliary tasks": lambda seed: with_tasks(seed, in_between),
        "the same, not taught": lambda seed: with_tasks(
            seed, {"classes": classes, "contours": None, "clean": None}
        ),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    arguments = parser.parse_args()
    x_train, y_train, x_test, y_test = idx_files.load(arguments.folder)
    x, y, tasks = canvases(x_train, y_train, 2000, seed=0)
    test = canvases(x_test, y_test, 500, seed=1)[:2]
    keras.utils.set_random_seed(0)
    teacher = train(encoder_decoder(2 * WIDTH), x, y, 3 * arguments.steps, seed=0)
    print(f"teacher: {mean_iou(teacher, *test):.3f}", flush=True)
    for method, student_of in students(x, y, tasks, teacher, arguments.steps).items():
        values = []
        for seed in range(arguments.seeds):
            keras.utils.set_random_seed(seed)
            values.append(mean_iou(student_of(seed), *test))
        rows = " | ".join(f"{value:.3f}" for value in values)
        print(f"| {method} | {rows} | {np.mean(values):.3f} |", flush=True)


if __name__ == "__main__":
    main()
