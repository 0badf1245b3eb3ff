"""What a training step takes where every pixel, box or token has an output, or the student changes.

    python benchmarks/dense_time.py FOLDER_OF_IDX_FILES FOLDER_OF_CLINC150 [--rounds 5]

The networks, data and losses of segmentation.py, detection.py, language_model.py and
width_and_depth.py. In each group all ways train on the same batches, in turn; prints minimum,
median and maximum, over the rounds, of the time over that of the group's first row: plain fit of
the student alone, or of the network that the others take the place of.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import detection
import idx_files
import keras
import language_model
import numpy as np
import segmentation
import width_and_depth
from teaching_time import print_ratios
from teaching_time import seconds_of

import keras_distill as kd

NUM_STEPS = 30
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def fitting(model, x, y, batch_size, loss=CROSS_ENTROPY, sample_weight=None):
    """A function that trains for an epoch, and returns the seconds."""
    model.compile("adam", loss, jit_compile=False)
    return seconds_of(model.fit, x, y, sample_weight=sample_weight, batch_size=batch_size)


def pixels(digits, classes):
    batch_size = segmentation.BATCH_SIZE
    x, y, tasks = segmentation.canvases(digits, classes, NUM_STEPS * batch_size, seed=0)
    student, width = segmentation.encoder_decoder, segmentation.WIDTH
    taught = kd.Distiller(
        student=student(width), teacher=student(2 * width), alpha=0.5, temperature=1.0
    )
    in_between = {
        "classes": CROSS_ENTROPY,
        "contours": keras.losses.BinaryCrossentropy(from_logits=True),
        "clean": "mean_squared_error",
    }
    y_of_tasks = {"classes": y, **tasks}
    return {
        "pixels: alone": fitting(student(width), x, y, batch_size),
        "pixel-wise": fitting(taught, x, y, batch_size),
        "auxiliary tasks": fitting(
            student(width, tasks=tasks), x, y_of_tasks, batch_size, in_between
        ),
    }


def boxes(digits, classes):
    batch_size = detection.BATCH_SIZE
    images, places, labels = detection.canvases(digits, classes, NUM_STEPS * batch_size, seed=0)
    teacher = detection.detector(detection.TEACHER_GROWTH, "teacher")
    y, weights = detection.targets(teacher, images, places, labels)
    x = kd.DistillationInputs(images, labels=places)
    loss = {
        "bbox_regression": keras.losses.Huber(),
        "cls_logits": keras.losses.BinaryFocalCrossentropy(from_logits=True),
    }

    def way(name):
        student = detection.detector(detection.STUDENT_GROWTH, "student")
        settings = {"alpha": 1.0, **detection.METHODS[name]()}
        plain = keras.Model(student.input, student.output)
        distiller = kd.Distiller(student=plain, teacher=teacher, **settings)
        return fitting(distiller, x, y, batch_size, loss, weights)

    return {f"boxes: {name}": way(name) for name in detection.METHODS}


def tokens(folder):
    batch_size = 64
    texts = language_model.read_texts(folder / "train.tsv.gz")
    preprocessor = language_model.preprocessor_of(texts)
    x, y, weights = language_model.arrays(preprocessor(texts[: NUM_STEPS * batch_size]))

    def model(num_layers, width):
        return language_model.language_model(preprocessor, num_layers, width)

    def way(teacher, alpha):
        distiller = kd.Distiller(
            student=model(1, 32), teacher=teacher, alpha=alpha, temperature=1.0
        )
        return fitting(distiller, x, y, batch_size, sample_weight=weights)

    return {"tokens: alone": way(None, 1.0), "token-level": way(model(2, 64), 0.5)}


def students():
    batch_size = width_and_depth.BATCH_SIZE
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(NUM_STEPS * batch_size, *width_and_depth.SHAPE)).astype("float32")
    y = rng.integers(0, width_and_depth.NUM_CLASSES, len(x))
    teacher = width_and_depth.network(**width_and_depth.TEACHER)
    networks = {name: make(teacher) for name, (make, _) in width_and_depth.STUDENTS.items()}
    networks = {"students: their teacher": teacher, **networks}
    return {name: fitting(network, x, y, batch_size) for name, network in networks.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("texts", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    digits, classes, *_ = idx_files.load(arguments.images)
    images = digits, classes
    for ways in (pixels(*images), boxes(*images), tokens(arguments.texts), students()):
        print_ratios(ways, arguments.rounds, NUM_STEPS)


if __name__ == "__main__":
    main()
