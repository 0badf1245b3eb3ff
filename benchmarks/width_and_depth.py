"""Shallow and wide, deep and thin, and Moonshine's students, at about as many parameters.

    python benchmarks/width_and_depth.py FOLDER_OF_CIFAR10_JPEG [--seeds 3] [--only STUDENT ...]

The data are CIFAR-10's images as lossy JPEG, halved to 16 x 16 pixels: no figure here is one of
CIFAR-10. All students take the same number of steps, at the same learning rate, on the same images;
nothing was tuned for any of them. Moonshine's are the teacher with cheaper convolutions: with a
bottleneck of a third of the channels, or depthwise, which has a fifth fewer parameters.
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
TEACHER, TEACHER_STEPS = {"num_layers": 6, "filters": 48}, 1000
# Both are behind the first pooling, so they have one size.
TEACHER_HINT, STUDENT_HINT = "hidden_4", "hidden_6"
HINT_STEPS = 300
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def batches(*arrays, seed):
    dataset = tf.data.Dataset.from_tensor_slices(arrays).shuffle(NUM_IMAGES, seed=seed)
    return dataset.batch(BATCH_SIZE).repeat().prefetch(2)


def fit(model, dataset, num_steps):
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, num_steps)
    model.compile(keras.optimizers.Adam(schedule), CROSS_ENTROPY, jit_compile=False)
    model.fit(dataset, steps_per_epoch=num_steps, shuffle=False, verbose=0)


def accuracy(model, x, y):
    return 100 * np.mean(model.predict(x, batch_size=500, verbose=0).argmax(-1) == y)


def network(num_layers, **settings):
    return kd.students.plain_cnn(SHAPE, NUM_CLASSES, num_layers=num_layers, **settings)


def first_steps(weight):
    return keras.optimizers.schedules.PiecewiseConstantDecay([HINT_STEPS], [weight, 0.0])


def hint():
    """FitNets' hint: for the first steps beside the soft targets, then these alone."""
    loss = kd.losses.FeatureMSE()
    weight = first_steps(10.0)
    return [
        kd.Objective(
            loss,
            teacher_layer=TEACHER_HINT,
            student_layer=STUDENT_HINT,
            weight=weight,
            projector="auto",
        )
    ]


def attention():
    """At the end of each stage. RepDistiller's weight of 1000 is for means over the positions of
    maps of images of 32x32, and ours are sums."""
    return [
        kd.Objective(
            kd.losses.AttentionTransfer(),
            teacher_layer=layer,
            student_layer=layer,
            weight=1000 / positions,
            name=layer,
        )
        for layer, positions in (("hidden_3", 32**2), ("hidden_6", 16**2))
    ]


def flow():
    """From the beginning to the end of each stage, for the first steps; RepDistiller's weight."""
    stages = ["hidden_1", "hidden_3"], ["hidden_4", "hidden_6"]
    return [
        kd.Objective(
            kd.losses.FSP(),
            teacher_layer=stage,
            student_layer=stage,
            weight=first_steps(50.0),
            name=f"flow_{stage[0]}",
        )
        for stage in stages
    ]


def of_one_size(depth):
    size = network(DEEP, filters=WIDTH).count_params()
    return lambda teacher: network(depth, num_parameters=size)


def moonshine(**settings):
    return lambda teacher: kd.students.moonshine(teacher, **settings)


# For each student how it is made of the teacher, and for each way to teach it the Distiller's alpha
# and objectives.
SOFT = {"distilled": (0.1, list)}
HINT = {"distilled, with a hint": (0.1, hint)}
AT, FSP = {"labels and AT": (1.0, attention)}, {"labels and FSP": (1.0, flow)}
STUDENTS = {
    "shallow and wide, 2 convolutions": (of_one_size(SHALLOW), SOFT),
    "deep and thin, 10 convolutions": (of_one_size(DEEP), SOFT | HINT),
    "Moonshine, bottleneck": (moonshine(bottleneck=3), SOFT | AT | FSP),
    "Moonshine, depthwise": (moonshine(groups="depthwise"), SOFT | AT),
}


def students(name, seed, x, y, teacher, taught):
    """Yields how the student was taught, and the student."""
    new_student, ways = STUDENTS[name]
    keras.utils.set_random_seed(seed)
    student = new_student(teacher)
    fit(student, batches(x, y, seed=seed), NUM_STEPS)
    yield "alone", student
    for teaching, (alpha, objectives) in ways.items():
        keras.utils.set_random_seed(seed)
        student = new_student(teacher)
        loss = kd.losses.SoftTargetKL(4.0, teacher_from_logits=True)
        distiller = kd.Distiller(
            student=student, alpha=alpha, soft_loss=loss, objectives=objectives()
        )
        read = {"output", *(path for o in distiller.objectives for path in o.teacher_paths)}
        inputs = kd.DistillationInputs(x, teacher_outputs={path: taught[path] for path in read})
        fit(distiller, batches(inputs, y, seed=seed), NUM_STEPS)
        yield teaching, student


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(STUDENTS), default=list(STUDENTS))
    arguments = parser.parse_args()
    x, y = jpeg_files.load_halved(arguments.data / "train.npz", NUM_IMAGES)
    test = jpeg_files.load_halved(arguments.data / "test.npz")
    keras.utils.set_random_seed(0)
    teacher = network(**TEACHER)
    fit(teacher, batches(x, y, seed=0), TEACHER_STEPS)
    print(f"teacher | {teacher.count_params()} | {accuracy(teacher, *test):.1f}", flush=True)
    hidden = [f"hidden_{number}" for number in (1, 3, 4, 6)]
    features = keras.Model(teacher.input, [teacher.get_layer(name).output for name in hidden])
    taught = dict(zip(hidden, features.predict(x, batch_size=500, verbose=0)))
    taught["output"] = teacher.predict(x, batch_size=500, verbose=0)
    print("| student | parameters | taught | test accuracy | seed by seed |\n|---|---|---|---|---|")
    for name in arguments.only:
        found = {}
        for seed in range(arguments.seeds):
            for teaching, student in students(name, seed, x, y, teacher, taught):
                found.setdefault(teaching, []).append(accuracy(student, *test))
        for teaching, values in found.items():
            spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
            each = ", ".join(f"{value:.2f}" for value in values)
            row = f"{name} | {student.count_params()} | {teaching}"
            print(f"| {row} | {np.mean(values):.1f}{spread} | {each} |", flush=True)


if __name__ == "__main__":
    main()
