"""A KerasHub detector taught by another: boxes with a bound, features inside boxes."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import Objective
from keras_distill.losses import BinarySoftTargets
from keras_distill.losses import BoundedRegression
from keras_distill.losses import RegionMSE

SIZE = 32
NUM_CLASSES = 2


def detector(growth_rate, name):
    """The smallest that KerasHub builds: its pyramid and heads are 256 wide."""
    shape = (SIZE, SIZE, 3)
    encoder = keras_hub.models.DenseNetBackbone(
        stackwise_num_repeats=[1, 1, 1],
        compression_ratio=0.5,
        growth_rate=growth_rate,
        image_shape=shape,
    )
    encoder.get_layer("bn").trainable = False  # Behind the pyramid, out of reach of any loss.
    backbone = keras_hub.models.RetinaNetBackbone(
        encoder, min_level=3, max_level=4, use_p5=False, image_shape=shape
    )
    anchors = keras_hub.layers.AnchorGenerator(
        "xyxy", min_level=3, max_level=4, num_scales=1, aspect_ratios=[1.0], anchor_size=2.0
    )
    return keras_hub.models.RetinaNetObjectDetector(
        backbone,
        NUM_CLASSES,
        anchor_generator=anchors,
        bounding_box_format="xyxy",
        pre_logits_num_conv_layers=1,
        name=name,
    )


def squares(number):
    """Images with a bright or a dark square, its box and class; a second box is padding."""
    rng = np.random.default_rng(0)
    images = rng.normal(0, 0.1, (number, SIZE, SIZE, 3)).astype("float32")
    boxes, classes = np.full((number, 2, 4), -1, "float32"), np.full((number, 2), -1, "float32")
    for image, box, label in zip(images, boxes, classes):
        side = rng.integers(12, 20)
        left, top = rng.integers(0, SIZE - side, 2)
        label[0] = rng.integers(NUM_CLASSES)
        image[top : top + side, left : left + side] += 1 if label[0] else -1
        box[0] = left, top, left + side, top + side
    return images, boxes, classes


def targets(model, images, boxes, classes):
    """What each anchor's outputs must be, and how much each anchor counts."""
    boxes, classes = model.label_encoder(images, boxes, classes)
    is_box, is_clear = (ops.cast(kept, "float32") for kept in (classes >= 0, classes != -2))
    y = {
        "bbox_regression": ops.where(is_box[..., None] > 0, boxes, 0),
        "cls_logits": ops.one_hot(ops.cast(classes, "int32"), NUM_CLASSES),
    }
    weights = {"bbox_regression": is_box / ops.mean(is_box), "cls_logits": is_clear}
    return keras.tree.map_structure(np.asarray, (y, weights))


LOSSES = {
    "bbox_regression": keras.losses.Huber(),
    "cls_logits": keras.losses.BinaryFocalCrossentropy(from_logits=True),
}


@pytest.mark.long
def test_a_detector_is_taught(tmp_path):
    """All losses of detection at once, on a model whose own compute_loss() is left out."""
    keras.utils.set_random_seed(0)
    student, teacher = detector(4, "student"), detector(8, "teacher")
    images, boxes, classes = squares(16)
    y, weights = targets(student, images, boxes, classes)
    # Else the losses of boxes would be zeros.
    assert np.any(weights["bbox_regression"] > 0)
    soft_loss = {
        "bbox_regression": BoundedRegression(),
        "cls_logits": BinarySoftTargets(temperature=1.0),
    }
    imitation = [
        Objective(
            RegionMSE("xyxy", image_size=(SIZE, SIZE)),
            teacher_layer=f"fpn[{level}]",
            student_layer=f"fpn[{level}]",
            weight=5.0,
            name=level,
        )
        for level in ("P3", "P4")
    ]
    plain = keras.Model(student.input, student.output)
    distiller = Distiller(
        student=plain, teacher=teacher, alpha=0.5, soft_loss=soft_loss, objectives=imitation
    )
    distiller.compile(keras.optimizers.Adam(1e-3), loss=LOSSES)
    x = DistillationInputs(images, labels=boxes)
    history = distiller.fit(
        x, y, sample_weight=weights, batch_size=16, epochs=25, verbose=0
    ).history
    for name in ("loss", "hard_loss", "soft_loss", "P3", "P4"):
        assert np.isfinite(history[name]).all()
        assert history[name][-1] < 0.9 * history[name][0], (name, history[name])

    student.save(tmp_path / "student.keras")
    restored = keras.models.load_model(tmp_path / "student.keras", compile=False)
    expected = student(images)
    for name, values in restored(images).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-5)


@pytest.mark.long
def test_a_detectors_own_loss_is_honoured():
    """Raw boxes as labels, which its compute_loss() matches with the anchors: as in its fit."""
    images, boxes, classes = squares(16)
    box_loss, class_loss = keras.losses.Huber(reduction="sum"), LOSSES["cls_logits"]
    data = tf.data.Dataset.from_tensor_slices((images, {"boxes": boxes, "labels": classes}))
    histories = []
    for is_taught in (False, True):
        keras.utils.set_random_seed(0)
        model = detector(4, "student")
        losses = {"box_loss": box_loss, "classification_loss": class_loss}
        if is_taught:
            model = Distiller(student=model, alpha=1.0)
            losses = {"loss": {"bbox_regression": box_loss, "cls_logits": class_loss}}
        model.compile(keras.optimizers.SGD(1e-3), **losses)
        history = model.fit(data.batch(8), epochs=2, shuffle=False, verbose=0).history
        histories.append(history["loss"])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-4)
