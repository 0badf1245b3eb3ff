import keras
import numpy as np
import pytest

import keras_distill as kd


@pytest.mark.long_but_first
@pytest.mark.parametrize("shape", [(32, 32, 3), (96, 64, 1)])
def test_shapes_taps_and_export(shape, tmp_path):
    student = kd.students.mobile_cnn(shape, 5, width=4)
    images = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype("float32")
    assert student.predict(images, verbose=0).shape == (3, 5)
    stem = 2 if min(shape[:2]) >= 64 else 1
    assert student.get_layer("stage_1").output.shape[1:] == (
        *(size // stem // 4 for size in shape[:2]),
        16,
    )
    report = kd.export_tflite(student, tmp_path / "m.tflite", representative_data=images)
    assert report.max_difference < 1e-4


@pytest.mark.long
def test_it_learns():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    images = rng.integers(0, 100, (64, 8, 8, 1)) + 120 * labels[:, None, None, None]
    student = kd.students.mobile_cnn((8, 8, 1), 2, width=4, depths=(1,))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    history = student.fit(images.astype("float32"), labels, epochs=6, verbose=0).history
    assert history["accuracy"][-1] > 0.95


def test_bad():
    for settings, message in (
        ({"input_shape": (4, 4, 3)}, "of 8 pixels or more for 3 stages"),
        ({"input_shape": 32}, "input_shape must be .*=32"),
        ({"input_shape": (None, None, 3)}, "input_shape must be .*None, None, 3"),
        ({"input_shape": (8, 8, 0)}, "input_shape must be"),
        ({"depths": (0,)}, "depths must be a tuple of integers of 1 or more"),
        ({"depths": ()}, "depths must be a tuple of integers of 1 or more"),
        ({"depths": 3}, "depths must be a tuple of integers of 1 or more"),
        ({"width": 0}, "width"),
        ({"dropout": 1.0}, "dropout"),
    ):
        with pytest.raises(ValueError, match=message):
            kd.students.mobile_cnn(**{"input_shape": (8, 8, 3), "num_classes": 2, **settings})
