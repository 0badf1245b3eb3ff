"""Which models teach in a job with images."""

import logging

import keras
import pytest
from keras import layers

from keras_distill.jobs.images.image_teacher import FinetunedImageTeacher
from keras_distill.jobs.images.image_teacher import ReadyImageTeacher


def saved(path, shape=(8, 8, 3), num_outputs=2):
    inputs = keras.Input(shape)
    means = layers.GlobalAveragePooling2D()(inputs)
    outputs = [layers.Dense(3)(means) for _ in range(num_outputs)]
    keras.Model(inputs, outputs if num_outputs > 1 else outputs[0]).save(path)
    return str(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("shape", "size", "channels"),
    [((8, 9, 1), (8, 9), 1), ((8, 8, 3), (8, 8), 3), ((None, None, 3), None, 3)],
)
def test_what_it_reads(suffix, shape, size, channels, tmp_path, caplog):
    # Keras says in the log that .h5 is old.
    caplog.set_level(logging.ERROR)
    teacher = ReadyImageTeacher(saved(tmp_path / f"t{suffix}", shape, num_outputs=1))
    assert (teacher.size, teacher.channels) == (size, channels)
    teacher.check_size(size)
    teacher.prepare(3, (8, 9 if size == (8, 9) else 8, channels), 0)
    with pytest.raises(ValueError, match=r"tell 4 classes.*one of 3 classes"):
        teacher.prepare(4, (8, 8, channels), 0)


def test_another_kind_of_model(tmp_path):
    """Two outputs were taken for one with two axes."""
    with pytest.raises(ValueError, match=r"classifier of images.*one output"):
        ReadyImageTeacher(saved(tmp_path / "two.keras", num_outputs=2))
    for shape in ((8, 8, 4), (3, 8, 8)):
        with pytest.raises(ValueError, match="1 or 3 channels on the last axis"):
            ReadyImageTeacher(saved(tmp_path / "four.keras", shape, num_outputs=1))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    model.save(tmp_path / "rows.keras")
    with pytest.raises(ValueError, match=r"classifier of images.*from \(None, 4\)"):
        ReadyImageTeacher(str(tmp_path / "rows.keras"))


@pytest.mark.parametrize("name", ["t.keras", "t.h5"])
def test_a_damaged_file(name, tmp_path):
    (tmp_path / name).write_bytes(b"no model")
    with pytest.raises(ValueError, match=name) as failed:
        ReadyImageTeacher(str(tmp_path / name))
    assert str(failed.value).isprintable()


def test_code_in_an_h5_file(tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    inputs = keras.Input((8, 8, 3))
    outputs = layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Lambda(lambda x: x)(inputs)))
    keras.Model(inputs, outputs).save(tmp_path / "t.h5")
    with pytest.raises(ValueError, match="cannot be loaded"):
        ReadyImageTeacher(str(tmp_path / "t.h5"))


def test_a_network_that_does_not_fit():
    teacher = FinetunedImageTeacher("MobileNetV3Small", None)
    with pytest.raises(ValueError, match=r"images of shape \(8, 8, 3\).*MobileNetV3Small"):
        teacher.prepare(2, (8, 8, 3), 1)
