"""What imitation inside boxes and bounded regression are worth for a small RetinaNet.

    python benchmarks/detection.py FOLDER_OF_IDX_FILES [--seeds 3] [--steps 800]

The folder has the four idx .gz files of MNIST. An image is a canvas of 32x32 with noise of 0.3 and
one digit of 14 to 26 pixels; training has 4,000 canvases of training digits, the test 1,000 of test
digits. KerasHub's RetinaNet on a DenseNet, built from its config; the students' DenseNet is a
quarter as wide as the teacher's. All students learn from the labels, for the same steps:

    alone                from nothing else
    imitation of maps    and from the teacher's whole feature maps
    imitation in boxes   and from the feature maps inside the boxes (Li et al. 2017)
    outputs              and from the teacher's classes and boxes
    squared boxes        the same, the squared error to the teacher's boxes in place of Huber's
    bounded boxes        that to the labels, bounded by the teacher's error (Chen et al. 2017)
    all                  bounded boxes and imitation in boxes

Prints, for each seed, the percentage of test canvases on which the box of which the student is most
sure has the digit's class and overlaps its box by half.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import idx_files
import keras
import keras_hub
import numpy as np

import keras_distill as kd
from keras_distill import losses

SIZE, NUM_CLASSES, BATCH_SIZE = 32, 10, 16
STUDENT_GROWTH, TEACHER_GROWTH = 4, 16


def canvases(digits, classes, number, seed):
    """Noisy images, a box in each, and its class."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 0.3, (number, SIZE, SIZE, 1)).astype("float32")
    boxes, labels = np.zeros((number, 1, 4), "float32"), np.zeros((number, 1), "float32")
    for image, box, label in zip(images, boxes, labels):
        index, side = rng.integers(len(digits)), rng.integers(14, 27)
        left, top = rng.integers(0, SIZE - side + 1, 2)
        digit = keras.ops.image.resize(digits[index][4:24, 4:24], (side, side))
        image[top : top + side, left : left + side] += keras.ops.convert_to_numpy(digit)
        box[0], label[0] = (left, top, left + side, top + side), classes[index]
    return np.repeat(images, 3, axis=-1), boxes, labels


def detector(growth_rate, name):
    shape = (SIZE, SIZE, 3)
    encoder = keras_hub.models.DenseNetBackbone(
        stackwise_num_repeats=[1, 1, 2],
        compression_ratio=0.5,
        growth_rate=growth_rate,
        image_shape=shape,
    )
    encoder.get_layer("bn").trainable = False  # Behind the pyramid, out of reach of any loss.
    return keras_hub.models.RetinaNetObjectDetector(
        keras_hub.models.RetinaNetBackbone(
            encoder, min_level=3, max_level=4, use_p5=False, image_shape=shape
        ),
        num_classes=NUM_CLASSES,
        bounding_box_format="xyxy",
        anchor_generator=keras_hub.layers.AnchorGenerator(
            "xyxy", min_level=3, max_level=4, num_scales=1, aspect_ratios=[1.0], anchor_size=2.0
        ),
        pre_logits_num_conv_layers=1,
        prediction_decoder=keras_hub.layers.NonMaxSuppression(
            "xyxy", from_logits=True, confidence_threshold=0.0, max_detections=1
        ),
        name=name,
    )


def targets(model, images, boxes, classes):
    """What each anchor must give, and how much it counts."""
    boxes, classes = model.label_encoder(images, boxes, classes)
    is_box = keras.ops.cast(classes >= 0, "float32")
    y = {
        "bbox_regression": keras.ops.where(is_box[..., None] > 0, boxes, 0),
        "cls_logits": keras.ops.one_hot(keras.ops.cast(classes, "int32"), NUM_CLASSES),
    }
    weights = {
        "bbox_regression": is_box / keras.ops.mean(is_box),
        "cls_logits": keras.ops.cast(classes != -2, "float32"),  # Neither object nor background.
    }
    return keras.tree.map_structure(np.asarray, (y, weights))


def on_pyramid(make_loss):
    """The same on both levels, their sum."""
    return {
        "objectives": [
            kd.Objective(
                make_loss(),
                teacher_layer=f"fpn[{level}]",
                student_layer=f"fpn[{level}]",
                name=level,
            )
            for level in ("P3", "P4")
        ]
    }


def on_outputs(boxes):
    classes = losses.BinarySoftTargets(temperature=1.0)
    return {"alpha": 0.5, "soft_loss": {"bbox_regression": boxes, "cls_logits": classes}}


def in_boxes():
    return losses.RegionMSE("xyxy", image_size=(SIZE, SIZE))


METHODS = {
    "alone": lambda: {},
    "imitation of maps": lambda: on_pyramid(losses.FeatureMSE),
    "imitation in boxes": lambda: on_pyramid(in_boxes),
    "outputs": lambda: on_outputs(keras.losses.Huber()),
    "squared boxes": lambda: on_outputs(keras.losses.MeanSquaredError()),
    "bounded boxes": lambda: on_outputs(losses.BoundedRegression()),
    "all": lambda: on_outputs(losses.BoundedRegression()) | on_pyramid(in_boxes),
}


def train(growth_rate, data, steps, seed, teacher=None, **arguments):
    images, boxes, classes = data
    keras.utils.set_random_seed(seed)
    model = detector(growth_rate, "teacher" if teacher is None else "student")
    y, weights = targets(model, images, boxes, classes)
    # Plain: the detector's own compute_loss() would match the boxes itself.
    plain = keras.Model(model.input, model.output)
    distiller = kd.Distiller(student=plain, teacher=teacher, **{"alpha": 1.0, **arguments})
    distiller.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps)),
        {
            "bbox_regression": keras.losses.Huber(),
            "cls_logits": keras.losses.BinaryFocalCrossentropy(from_logits=True),
        },
    )
    x = kd.DistillationInputs(images, labels=boxes)
    epochs = round(steps * BATCH_SIZE / len(images))
    distiller.fit(x, y, sample_weight=weights, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    return model


def percent_found(model, images, boxes, classes):
    found = model.predict(images, batch_size=100, verbose=0)
    overlap = keras.utils.bounding_boxes.compute_iou(
        boxes[:, 0], found["boxes"][:, 0], bounding_box_format="xyxy"
    )
    is_right = found["labels"][:, 0] == classes[:, 0]
    return 100 * np.mean(is_right & (np.diag(overlap) >= 0.5))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--only", nargs="+", default=list(METHODS))
    arguments = parser.parse_args()
    x_train, y_train, x_test, y_test = idx_files.load(arguments.folder)
    data = canvases(x_train, y_train, 4000, seed=0)
    test = canvases(x_test, y_test, 1000, seed=1)
    teacher = train(TEACHER_GROWTH, data, 2 * arguments.steps, seed=0)
    print(f"teacher {percent_found(teacher, *test):.1f}", flush=True)
    for name in arguments.only:
        found = []
        for seed in range(arguments.seeds):
            student = train(STUDENT_GROWTH, data, arguments.steps, seed, teacher, **METHODS[name]())
            found.append(percent_found(student, *test))
        each = " | ".join(f"{value:.1f}" for value in found)
        print(f"| {name} | {each} | {np.mean(found):.1f} |", flush=True)


if __name__ == "__main__":
    main()
