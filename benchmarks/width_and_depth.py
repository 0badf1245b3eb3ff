"""Shallow and wide against deep and thin students, at as many parameters, alone and distilled.

    python benchmarks/width_and_depth.py FOLDER_OF_CIFAR10_JPEG [--seeds 3]

The data are CIFAR-10's images as lossy JPEG, halved to 16 x 16 pixels: no figure here is one of
CIFAR-10. All students take the same number of steps, at the same learning rate, on the same images;
nothing was tuned for any of them. Three quarters of an hour on two cores that
others kept busy.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jpeg_files
import keras
import numpy as np
import tensorflow as tf

import keras_distill as kd

SHAPE, NUM_CLASSES = (16, 16, 3), 10
NUM_IMAGES, BATCH_SIZE = 10_000, 64
SHALLOW, DEEP, WIDTH = 2, 10, 16
NUM_STEPS, LEARNING_RATE = 1000, 3e-3
TEACHER, TEACHER_STEPS = {"depth": 6, "width": 48}, 1000
# Both are behind the first pooling, so they have one size.
TEACHER_HINT, STUDENT_HINT = "hidden_4", "hidden_6"
HINT_STEPS = 300
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def batches(*arrays, seed):
    dataset = tf.data.Dataset.from_tensor_slices(arrays).shuffle(NUM_IMAGES, seed=seed)
    return dataset.batch(BATCH_SIZE).repeat().prefetch(2)


def fit(model, dataset, num_steps):
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, num_steps)
    model.compile(keras.optimizers.Adam(schedule), CROSS_ENTROPY)
    model.fit(dataset, steps_per_epoch=num_steps, shuffle=False, verbose=0)


def accuracy(model, x, y):
    return 100 * np.mean(model.predict(x, batch_size=500, verbose=0).argmax(-1) == y)


def network(depth, **settings):
    return kd.students.plain_cnn(SHAPE, NUM_CLASSES, depth=depth, **settings)


def hint():
    """FitNets' hint: for the first steps beside the soft targets, then these alone."""
    weight = keras.optimizers.schedules.PiecewiseConstantDecay([HINT_STEPS], [10.0, 0.0])
    loss = kd.losses.FeatureMSE()
    return kd.Objective(loss, TEACHER_HINT, STUDENT_HINT, weight=weight, projector="auto")


def students(seed, x, y, taught):
    """Yields the name of a student, and the student."""
    size = network(DEEP, width=WIDTH).count_params()
    for shape, depth in (("shallow and wide", SHALLOW), ("deep and thin", DEEP)):
        for teaching in ("alone", "distilled", "distilled, with a hint"):
            objectives = [hint()] if "hint" in teaching else []
            if objectives and depth == SHALLOW:
                continue
            keras.utils.set_random_seed(seed)
            student = network(depth, num_parameters=size)
            if teaching == "alone":
                fit(student, batches(x, y, seed=seed), NUM_STEPS)
            else:
                loss = kd.losses.SoftTargetKL(4.0, teacher_from_logits=True)
                distiller = kd.Distiller(student, alpha=0.1, soft_loss=loss, objectives=objectives)
                inputs = kd.DistillationInputs(x, teacher_outputs=taught)
                fit(distiller, batches(inputs, y, seed=seed), NUM_STEPS)
            yield f"{shape}, {depth} convolutions | {student.count_params()} | {teaching}", student


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    x, y = jpeg_files.load_halved(arguments.data / "train.npz", NUM_IMAGES)
    test = jpeg_files.load_halved(arguments.data / "test.npz")
    keras.utils.set_random_seed(0)
    teacher = network(**TEACHER)
    fit(teacher, batches(x, y, seed=0), TEACHER_STEPS)
    print(f"teacher | {teacher.count_params()} | {accuracy(teacher, *test):.1f}", flush=True)
    features = keras.Model(teacher.input, teacher.get_layer(TEACHER_HINT).output)
    taught = {
        "output": teacher.predict(x, batch_size=500, verbose=0),
        TEACHER_HINT: features.predict(x, batch_size=500, verbose=0),
    }
    found = {}
    for seed in range(arguments.seeds):
        for name, student in students(seed, x, y, taught):
            found.setdefault(name, []).append(accuracy(student, *test))
            print(seed, name, found[name][-1], flush=True)
    print("| student | parameters | taught | test accuracy |\n|---|---|---|---|")
    for name, values in found.items():
        spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
        print(f"| {name} | {np.mean(values):.1f}{spread} |", flush=True)


if __name__ == "__main__":
    main()
