"""What each loss between the layers or outputs of two models is worth: one table.

    python benchmarks/objectives_accuracy.py FOLDER_OF_CIFAR10_JPEG [--seeds 3] [--only NAME ...]

The data are CIFAR-10's images as lossy JPEG, halved to 16 x 16 pixels, so no figure is one of
CIFAR-10; or those of a folder of idx .gz files. One teacher; one student, which learns from all
training images for the same number of steps under each method, with the labels and the weights
that the paper or its reference code gives, brought to the means that these losses take. The
settings are tuned on nothing. Prints the mean accuracy on the test set and its standard deviation
over the seeds, and the difference to the student alone: its mean, and seed by seed.

Rows can be shared out to several processes by --only, with "alone" first in each and with one
teacher: --teacher names its file, which is written if it is not there.
"""

import argparse
import math
import os
import pathlib
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gain_rows
import idx_files
import jpeg_files
import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_distill as kd
from keras_distill import losses

BATCH_SIZE, EPOCHS = 64, 8


def load(folder):
    """Returns images of 16x16x3 or 28x28x1, in 0 to 1, and labels, of training and test set."""
    if not (folder / "train.npz").exists():
        return idx_files.load(folder)
    x_train, y_train = jpeg_files.load_halved(folder / "train.npz")
    x_test, y_test = jpeg_files.load_halved(folder / "test.npz")
    return x_train / 255, y_train, x_test / 255, y_test


def network(shape, widths, name):
    """Three convolutions that halve the sides; taps "before_i", "block_i", "pooled", "logits"."""
    image = x = keras.Input(shape, name="image")
    for stage, width in enumerate(widths, 1):
        x = layers.Conv2D(width, 3, 2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"before_{stage}")(x)
        x = layers.ReLU(name=f"block_{stage}")(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(image, layers.Dense(10, name="logits")(x), name=name)


def trained_teacher(path, images, labels):
    """The teacher in the file, or a new one."""
    if path is not None and path.exists():
        return keras.models.load_model(path)
    keras.utils.set_random_seed(0)
    teacher = network(images.shape[1:], TEACHER_WIDTHS, "teacher")
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * math.ceil(len(images) / 128))
    teacher.compile(
        keras.optimizers.Adam(schedule),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    teacher.fit(images, labels, batch_size=128, epochs=EPOCHS, verbose=2)
    if path is not None:
        teacher.save(path)
    return teacher


def hint(loss, layer, weight, **kwargs):
    return kd.Objective(
        loss,
        teacher_layer=layer,
        student_layer=layer,
        weight=weight,
        name=f"{loss.name}_{layer}",
        **kwargs,
    )


def sizes_of(teacher, stage):
    """Number of positions and of channels behind a stage."""
    _, height, width, channels = teacher.get_layer(f"block_{stage}").output.shape
    return height * width, channels


def connector(width):
    """A 1x1 convolution with a batch normalisation, as of AB and OFD."""
    return keras.Sequential(
        [layers.Conv2D(width, 1, use_bias=False), layers.BatchNormalization(momentum=0.9)]
    )


def mean_network(width):
    """VID's regressor."""
    return keras.Sequential(
        [
            layers.Conv2D(width, 1, use_bias=False, activation="relu"),
            layers.Conv2D(width, 1, use_bias=False, activation="relu"),
            layers.Conv2D(width, 1, use_bias=False),
        ]
    )


def soft(loss, alpha):
    return lambda task: {"alpha": alpha, "soft_loss": loss()}


def with_labels(*objectives):
    """The labels, no soft loss, and objectives that are made of the task."""
    return lambda task: {"alpha": 1.0, "objectives": [o for make in objectives for o in make(task)]}


def pooled(make_loss, weight):
    return with_labels(lambda task: [hint(make_loss(task), "pooled", weight)])


def between_gradients(loss, weight):
    return with_labels(
        lambda task: [
            kd.Objective(
                loss(),
                teacher_layer="output",
                student_layer="output",
                weight=weight,
                name="gradients",
            )
        ]
    )


def attention(weight):
    """On every stage; RepDistiller's 1000 is for means over the positions, and ours are sums."""
    return with_labels(
        lambda task: [
            hint(
                losses.AttentionTransfer(),
                f"block_{stage}",
                weight(sizes_of(task.teacher, stage)[0], stage),
            )
            for stage in STAGES
        ]
    )


def overhaul(task):
    """Sums over a stage, halved for each stage below the last, over 1,000."""
    found = []
    for stage in STAGES:
        norm = task.teacher.get_layer(f"before_{stage}")
        loss = losses.FeatureOverhaul.from_batch_normalization(norm)
        positions, width = sizes_of(task.teacher, stage)
        weight = positions * width / 2 ** (3 - stage) / 1000
        found.append(hint(loss, f"before_{stage}", weight, projector=connector(width)))
    return found


def factors(task):
    """Its paraphraser first, on the teacher's features, for a sixth of the steps."""
    features = keras.Model(task.teacher.input, task.teacher.get_layer("block_3").output)
    paraphraser = losses.paraphraser(TEACHER_WIDTHS[-1])
    paraphraser.compile(keras.optimizers.Adam(1e-3), "mse")
    data = task.images.map(lambda x: (features(x, training=False),) * 2)
    paraphraser.fit(data, steps_per_epoch=task.steps // 6, shuffle=False, verbose=0)
    return [hint(losses.FactorTransfer(paraphraser), "block_3", 500.0)]


def review(weight):
    taps = ["block_1", "block_2", "block_3", "pooled"]
    return with_labels(
        lambda task: [
            kd.Objective(
                losses.KnowledgeReview(), teacher_layer=taps, student_layer=taps, weight=weight
            )
        ]
    )


def graphs(task):
    taps = ["block_2", "block_3", "logits"]
    return [kd.Objective(losses.IRG(), teacher_layer=taps, student_layer=taps)]


STAGES = (1, 2, 3)
TEACHER_WIDTHS, STUDENT_WIDTHS = (64, 128, 256), (16, 32, 64)

# For each method the Distiller's arguments. Weights of RepDistiller's scripts where it has the same
# loss (KD, FitNets, AT, SP, VID, RKD, PKT, NST, CRD), else of the papers' code (DKD, OFD, FT, MGD,
# and knowledge review, whose scripts have 0.6 to 8, mostly 5) or, for CC, of
# Knowledge-Distillation-Zoo. The cosine, IRG, DarkRank, Sobolev training and Jacobian matching have
# 1, the gradient norm 0.01: no such code is known to us. AT, Sobolev training and the gradient norm
# have a smaller one as well, for these were too large; CC that of RepDistiller, whose loss of that
# name is another.
METHODS = {
    "alone": lambda task: {"alpha": 1.0},
    "soft targets (KD)": soft(losses.SoftTargetKL, 0.1),
    "KD, standardized": soft(lambda: losses.SoftTargetKL(2.0, standardized=True), 0.1),
    "logits, squared": soft(losses.LogitsMSE, 0.5),
    "DKD": soft(losses.DKD, 0.5),
    # In its code the weight rises for 20 of 240 epochs.
    "DKD, weight rising": lambda task: {
        "alpha": keras.optimizers.schedules.PolynomialDecay(1.0, task.steps // 12, 0.5),
        "soft_loss": losses.DKD(),
    },
    "DIST": soft(lambda: losses.DIST(4.0), 1 / 3),
    "FitNets": with_labels(
        lambda task: [hint(losses.FeatureMSE(), "block_2", 100.0, projector="auto")]
    ),
    "cosine": with_labels(
        lambda task: [hint(losses.FeatureCosine(), "pooled", 1.0, projector="auto")]
    ),
    "AT": attention(lambda positions, stage: 1000 / positions),
    "AT, weights as on 32x32 images": attention(lambda positions, stage: 1000 / 4 ** (6 - stage)),
    "NST": with_labels(
        lambda task: [hint(losses.NeuronSelectivity(), f"block_{i}", 50.0) for i in STAGES]
    ),
    "NST, linear kernel": with_labels(
        lambda task: [hint(losses.NeuronSelectivity(degree=1), f"block_{i}", 50.0) for i in STAGES]
    ),
    "AB": with_labels(
        lambda task: [
            hint(
                losses.ActivationBoundaries(),
                "before_3",
                1.0,
                projector=connector(TEACHER_WIDTHS[-1]),
            )
        ]
    ),
    "OFD": with_labels(overhaul),
    "VID": with_labels(
        lambda task: [
            hint(
                losses.VariationalInformation(),
                f"block_{stage}",
                1.0,
                projector=mean_network(width),
            )
            for stage, width in zip(STAGES, TEACHER_WIDTHS)
        ]
    ),
    "FT": with_labels(factors),
    "knowledge review": review(1.0),
    "knowledge review, weight 5": review(5.0),
    "MGD": with_labels(
        lambda task: [
            hint(
                losses.MaskedGenerative(0.15, masked="channels"),
                "block_3",
                7e-5 * math.prod(sizes_of(task.teacher, 3)),
                projector="auto",
            )
        ]
    ),
    "RKD": with_labels(
        lambda task: [hint(losses.RKDDistance(), "pooled", 25.0)],
        lambda task: [hint(losses.RKDAngle(), "pooled", 50.0)],
    ),
    "SP": with_labels(lambda task: [hint(losses.SimilarityPreserving(), "block_3", 3000.0)]),
    "CC": pooled(lambda task: losses.CorrelationCongruence(), 100.0),
    "CC, weight 0.02": pooled(lambda task: losses.CorrelationCongruence(), 0.02),
    "PKT": pooled(lambda task: losses.ProbabilisticTransfer(), 30000.0 / BATCH_SIZE),
    "IRG": with_labels(graphs),
    "DarkRank, hard": pooled(lambda task: losses.HardDarkRank(), 1.0),
    "DarkRank, soft": pooled(lambda task: losses.SoftDarkRank(), 1.0),
    "CRD": pooled(lambda task: losses.CRD(task.num_examples, labels=task.labels), 0.8),
    "Sobolev": between_gradients(losses.Sobolev, 1.0),
    "Sobolev, weight 0.01": between_gradients(losses.Sobolev, 0.01),
    "gradient norm": between_gradients(losses.GradientNorm, 0.01),
    "gradient norm, weight 0.0001": between_gradients(losses.GradientNorm, 0.0001),
    "Jacobian matching": between_gradients(losses.JacobianMatching, 1.0),
}


class Task(NamedTuple):
    """What a method may need before it begins."""

    teacher: keras.Model
    images: tf.data.Dataset
    labels: np.ndarray
    steps: int

    @property
    def num_examples(self):
        return len(self.labels)


def data_of(images, labels, seed):
    numbers = np.arange(len(images), dtype="int64")
    data = tf.data.Dataset.from_tensor_slices((images, numbers, labels))
    data = data.shuffle(len(images), seed=seed).repeat().batch(BATCH_SIZE)
    return data.map(lambda x, index, y: (kd.DistillationInputs(x, example_index=index), y))


def train(method, data, task, seed):
    """Returns the student."""
    keras.utils.set_random_seed(seed)
    student = network(task.teacher.input.shape[1:], STUDENT_WIDTHS, "student")
    distiller = kd.Distiller(student=student, teacher=task.teacher, **METHODS[method](task))
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, task.steps)
    distiller.compile(
        keras.optimizers.Adam(schedule),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    distiller.fit(data, steps_per_epoch=task.steps, epochs=1, shuffle=False, verbose=0)
    return student


def accuracy(model, images, labels):
    return 100 * np.mean(model.predict(images, batch_size=500, verbose=0).argmax(-1) == labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--teacher", type=pathlib.Path)
    parser.add_argument("--only", nargs="+", default=list(METHODS))
    arguments = parser.parse_args()
    x_train, y_train, x_test, y_test = load(arguments.folder)

    teacher = trained_teacher(arguments.teacher, x_train, y_train)
    print(f"teacher {accuracy(teacher, x_test, y_test):.2f}, {teacher.count_params()} parameters")
    student = network(x_train.shape[1:], STUDENT_WIDTHS, "student")
    print(f"student {student.count_params()} parameters")

    alone = None
    for name in arguments.only:
        found = []
        for seed in range(arguments.seeds):
            data = data_of(x_train, y_train, seed)
            images = data.map(lambda inputs, y: inputs.student)
            task = Task(teacher, images, y_train, arguments.steps)
            student = train(name, data, task, seed)
            found.append(accuracy(student, x_test, y_test))
            keras.backend.clear_session()
        alone = alone or found
        print(gain_rows.row(name, found, alone), flush=True)


if __name__ == "__main__":
    main()
