"""Supervision transfer: a teacher of colour images teaches a student of gray ones, without labels.

    python benchmarks/cross_modal.py FOLDER_OF_NPZ_FILES TEACHER.h5 [--seeds 3]

The folder has train.npz and test.npz with CIFAR-10 as lossy JPEG; the teacher, a ResNet-8, reads
RGB from 0 to 255. The student reads one channel. A pair is one image in both views; 20,000 pairs
have no labels, 1,000 other gray images have. All students start alike for a seed and take the same
number of steps. The settings are tuned on nothing.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jpeg_files
import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_distill as kd

NUM_STEPS = 400
BATCH_SIZE = 64
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def gray(images):
    return tf.image.rgb_to_grayscale(tf.cast(images, "float32") / 255)


def colour(images):
    return tf.cast(images, "float32")


def gray_student():
    image = x = keras.Input((32, 32, 1))
    for width in (16, 32, 64):
        for strides in (2, 1):
            x = layers.Conv2D(width, 3, strides, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(image, layers.Dense(10, name="logits")(x))


def batches(*arrays, seed):
    data = tf.data.Dataset.from_tensor_slices(arrays)
    return data.shuffle(len(arrays[0]), seed=seed).repeat().batch(BATCH_SIZE)


def optimizer():
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, NUM_STEPS))


def learn_labels(student, images, labels, seed):
    student.compile(optimizer(), CROSS_ENTROPY)
    data = batches(gray(images), labels, seed=seed)
    student.fit(data, steps_per_epoch=NUM_STEPS, shuffle=False, verbose=0)


def learn_from_pairs(student, teacher, images, seed, **settings):
    distiller = kd.Distiller(student=student, teacher=teacher, **settings)
    distiller.compile(optimizer())
    pairs = kd.data.pair_inputs(batches(images, seed=seed), student=gray, teacher=colour)
    distiller.fit(pairs, steps_per_epoch=NUM_STEPS, shuffle=False, verbose=0)


def features():
    return kd.Objective(
        kd.losses.FeatureMSE(), teacher_layer="flatten", student_layer="pooled", name="features"
    )


# For each way the alpha of the Distiller, or None, whether it has the objective between features,
# and whether the 1,000 labels follow. Alpha 0: soft targets; 1: none, as the pairs have no labels.
WAYS = {
    "1,000 labels": (None, False, True),
    "pairs: soft targets": (0.0, False, False),
    "pairs: soft targets and features": (0.0, True, False),
    "pairs: features, then 1,000 labels": (1.0, True, True),
    "pairs: soft targets, then 1,000 labels": (0.0, False, True),
}


def taught(way, teacher, unlabelled, labelled, seed):
    alpha, has_features, has_labels = WAYS[way]
    keras.utils.set_random_seed(seed)
    student = gray_student()
    if alpha is not None:
        objectives = [features()] if has_features else []
        learn_from_pairs(student, teacher, unlabelled, seed, alpha=alpha, objectives=objectives)
    if has_labels:
        learn_labels(student, *labelled, seed)
    return student


def accuracy(model, images, labels):
    return 100 * np.mean(model.predict(images, batch_size=500, verbose=0).argmax(-1) == labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("teacher", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    unlabelled, _ = jpeg_files.load(arguments.folder / "train.npz", 0, 20_000)
    labelled = jpeg_files.load(arguments.folder / "train.npz", 20_000, 1000)
    images, labels = jpeg_files.load(arguments.folder / "test.npz", 0, 10_000)
    teacher = keras.models.load_model(arguments.teacher, compile=False)
    print(f"teacher, colour: {accuracy(teacher, colour(images), labels):.2f}")
    # What it says of gray images, in three equal channels.
    repeated = tf.repeat(gray(images) * 255, 3, axis=-1)
    print(f"teacher, gray: {accuracy(teacher, repeated, labels):.2f}", flush=True)
    test = gray(images), labels
    found = {way: [] for way in WAYS}
    for seed in range(arguments.seeds):
        for way, accuracies in found.items():
            student = taught(way, teacher, unlabelled, labelled, seed)
            accuracies.append(accuracy(student, *test))
            print(f"{seed} {way}: {accuracies[-1]:.2f}", flush=True)
    for way, accuracies in found.items():
        each = " | ".join(f"{value:.2f}" for value in accuracies)
        print(f"| {way} | {each} | {np.mean(accuracies):.2f} |")


if __name__ == "__main__":
    main()
