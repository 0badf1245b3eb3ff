import functools
import json
import warnings

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import keras_distill as kd
from keras_distill.jobs.images import image_data
from keras_distill.jobs.images.image_teacher import FinetunedImageTeacher

SIZE = 16
rng = np.random.default_rng(0)


def make_images(num_images, rng):
    """Dark or bright above, bright or dark below, with noise: two classes."""
    labels = rng.integers(0, 2, num_images)
    pixels = rng.integers(0, 80, (num_images, SIZE, SIZE, 3))
    for image, label in zip(pixels, labels):
        half = slice(0, SIZE // 2) if label else slice(SIZE // 2, SIZE)
        image[half] += 150
    return pixels.astype("uint8"), labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """photos/below, photos/above, more.npz, and teacher.keras that compares the halves."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    pixels, labels = make_images(60, rng)
    for name in ("0-below", "1-above"):
        (folder / "photos" / name).mkdir(parents=True)
    for number, (image, label) in enumerate(zip(pixels, labels)):
        name = ("0-below", "1-above")[label]
        keras.utils.save_img(folder / "photos" / name / f"{number}.png", image, scale=False)
    (folder / "photos" / "0-below" / "broken.png").write_bytes(b"no image")
    np.savez(folder / "more.npz", x=make_images(40, rng)[0])
    inputs = keras.Input((SIZE, SIZE, 3))
    means = layers.Flatten()(layers.AveragePooling2D((SIZE // 2, SIZE))(inputs))
    logits = layers.Dense(2, name="logits")
    model = keras.Model(inputs, logits(means))
    kernel = np.repeat([[-0.02, 0.02], [0.02, -0.02]], 3, axis=0)
    logits.set_weights([kernel, np.zeros(2)])
    model.save(folder / "teacher.keras")
    return folder


def job(folder, output, **settings):
    settings = {
        "train": str(folder / "photos"),
        "teacher": str(folder / "teacher.keras"),
        "unlabelled": (str(folder / "more.npz"),),
        "num_steps": 80,
        "width": 8,
        "num_views": 2,
        "num_threads": (),
        **settings,
    }
    return kd.jobs.ImageJob(output=str(output), **settings)


@pytest.fixture(scope="module")
def done(folder):
    return folder / "out", job(folder, folder / "out").run()


@pytest.mark.long
class TestWhatComesOut:
    def test_files_and_figures(self, folder, done):
        output, result = done
        broken = folder / "photos" / "0-below" / "broken.png"
        reason = "not a picture in a raster format that Pillow reads"
        assert result["broken"] == [f"{broken}: {reason}"]
        assert result["models"]["teacher"]["figures"]["accuracy"]["value"] == 1
        assert result["models"]["distilled"]["figures"]["accuracy"]["value"] > 0.8
        assert result["models"]["phone"]["figures"]["agreement"]["value"] > 0.9
        assert set(result["models"]["alone"]["class_f1"]) == {"0-below", "1-above"}
        page = (output / "report.html").read_text()
        assert "Student distilled from" in page
        description = kd.describe(output / "student.tflite")
        assert description.files["labels.txt"].split() == ["0-below", "1-above"]

    def test_a_finished_job_trains_nothing_again(self, folder, done):
        before = (done[0] / "distilled.keras").stat().st_mtime_ns
        assert job(folder, done[0]).run()["models"] == done[1]["models"]
        assert (done[0] / "distilled.keras").stat().st_mtime_ns == before


def test_images_without_a_label_are_for_the_teacher(folder, tmp_path):
    """-1 in y, as elsewhere: not a class, not tested on."""
    pixels, labels = make_images(60, np.random.default_rng(2))
    np.savez(tmp_path / "d.npz", x=pixels, y=np.where(np.arange(60) < 20, -1, labels))
    result = job(folder, tmp_path / "out", train=str(tmp_path / "d.npz"), unlabelled=()).dry_run()
    assert (result["num_train"], result["num_test"], result["num_transfer"]) == (32, 8, 52)
    said = (
        "Warning: the phone's file in 'int8' is calibrated and checked on 52 images, which are few"
    )
    assert said in result["summary"]
    with pytest.raises(ValueError, match=r"test must have a label.*20 labels of -1"):
        job(folder, tmp_path / "out", test=str(tmp_path / "d.npz")).run()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_few_pictures(folder, tmp_path):
    """The check of int8 has few rows, too: it was refused behind the training, with all of it."""
    pixels, labels = make_images(24, np.random.default_rng(3))
    np.savez(tmp_path / "d.npz", x=pixels, y=labels)
    settings = {"train": str(tmp_path / "d.npz"), "unlabelled": (), "num_views": 0}
    with pytest.warns(UserWarning, match="calibrated on 13 examples .* which are few"):
        result = job(folder, tmp_path / "out", num_steps=10, **settings).run()
    assert (tmp_path / "out" / "student.tflite").exists()
    assert "the phone's file in 'int8' is calibrated and checked on 19 images" in result["summary"]


@pytest.mark.long
def test_gray_pictures_and_a_teacher_in_h5(tmp_path):
    """Files of colours, gray for a teacher that reads one channel, to the phone's file."""
    for number, (image, label) in enumerate(zip(*make_images(60, np.random.default_rng(1)))):
        path = tmp_path / "photos" / ("0-below", "1-above")[label] / f"{number}.webp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, lossless=True)
    inputs = keras.Input((SIZE, SIZE, 1))
    means = layers.Flatten()(layers.AveragePooling2D((SIZE // 2, SIZE))(inputs))
    logits = layers.Dense(2, name="logits")
    model = keras.Model(inputs, logits(means))
    logits.set_weights([np.array([[-0.05, 0.05], [0.05, -0.05]]), np.zeros(2)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "teacher.h5")
    teacher = str(tmp_path / "teacher.h5")
    result = job(tmp_path, tmp_path / "out", teacher=teacher, unlabelled=()).run()
    assert result["models"]["teacher"]["figures"]["accuracy"]["value"] == 1
    assert result["models"]["phone"]["figures"]["agreement"]["value"] > 0.9
    assert kd.describe(tmp_path / "out" / "student.tflite").inputs[0].shape == (1, SIZE, SIZE, 1)


@pytest.mark.long
@pytest.mark.parametrize("num_outputs", [1, 2])
def test_a_sigmoid_teacher(num_outputs, folder, tmp_path):
    """With one output it is that of the second class."""
    inputs = keras.Input((SIZE, SIZE, 3))
    means = layers.Flatten()(layers.AveragePooling2D((SIZE // 2, SIZE))(inputs))
    last = layers.Dense(num_outputs, activation="sigmoid")
    model = keras.Model(inputs, last(means))
    kernel = np.repeat([[-0.02, 0.02], [0.02, -0.02]], 3, axis=0)
    last.set_weights([kernel[:, -num_outputs:], np.zeros(num_outputs)])
    model.save(tmp_path / "teacher.keras")
    teacher = str(tmp_path / "teacher.keras")
    result = job(folder, tmp_path / "out", teacher=teacher, alpha=0.0).run()
    accuracies = {n: m["figures"]["accuracy"]["value"] for n, m in result["models"].items()}
    assert accuracies["teacher"] == 1
    assert min(accuracies["distilled"], accuracies["phone"], accuracies["server"]) > 0.8


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_network_of_keras_applications_in_a_file(folder, tmp_path):
    """As people save it after a training: their own scaling in front, their head behind."""
    shape = 2 * SIZE, 2 * SIZE, 3
    images = image_data.read_labelled(folder / "photos", shape[:2])
    base = keras.applications.MobileNetV2(shape, 0.35, include_top=False, weights=None)
    inputs = keras.Input(shape)
    x = layers.GlobalAveragePooling2D()(base(layers.Rescaling(1 / 127.5, offset=-1)(inputs)))
    features, head = keras.Model(inputs, x), layers.Dense(2, activation="softmax")
    model = keras.Model(inputs, head(layers.Dropout(0.2)(x)))
    for layer in base.layers:
        layer.momentum = 0.5
    pixels = images.pixels.astype("float32")
    for _ in range(5):
        # Statistics of batches, as a training leaves them.
        features(pixels, training=True)
    kernel = np.linalg.lstsq(features(pixels), 8 * np.eye(2)[images.labels] - 4, rcond=None)[0]
    head.set_weights([kernel, np.zeros(2)])
    model.save(tmp_path / "teacher.keras")
    teacher = str(tmp_path / "teacher.keras")
    # 48 pictures are too few to calibrate int8.
    settings = {"unlabelled": (), "alpha": 0.0, "quantization": "dynamic"}
    result = job(folder, tmp_path / "out", teacher=teacher, **settings).run()
    accuracies = {n: m["figures"]["accuracy"]["value"] for n, m in result["models"].items()}
    assert accuracies["teacher"] == 1
    assert min(accuracies["distilled"], accuracies["phone"], accuracies["server"]) > 0.8


def test_dry_run(folder, tmp_path):
    result = job(folder, tmp_path / "out", num_views=0).dry_run()
    assert (result["num_train"], result["num_test"], result["num_transfer"]) == (48, 12, 88)
    assert "left out, with the reason of each: 1\n  " in result["summary"]
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_network_of_keras_applications_is_finetuned(monkeypatch):
    """Its weights cannot be downloaded here: it starts from random ones."""
    # Tracing it would take half a minute.
    eager = functools.partialmethod(keras.Sequential.compile, run_eagerly=True)
    monkeypatch.setattr(keras.Sequential, "compile", eager)
    pixels, labels = make_images(8, rng)
    pixels = pixels.repeat(2, axis=1).repeat(2, axis=2)
    teacher = FinetunedImageTeacher("MobileNetV3Small", None)
    teacher.prepare(2, (2 * SIZE, 2 * SIZE, 3), num_images=8)
    before = teacher.model.get_weights()[0]
    data, quietly = image_data.Images(pixels, labels), {"verbose": 0}
    teacher.train(data, seed=0, fit_settings=lambda *steps: quietly)
    assert not np.array_equal(teacher.model.get_weights()[0], before)
    assert teacher.model.output_shape == (None, 2)


class TestData:
    def test_no_test_image_is_in_the_transfer_set(self, folder, tmp_path):
        pixels, _ = make_images(3, rng)
        more, test = image_data.Images(pixels), image_data.Images(pixels[1:2])
        np.testing.assert_array_equal(image_data.without(more, test), pixels[[0, 2]])


@pytest.mark.long
def test_bad_input(folder, tmp_path):
    np.savez(tmp_path / "floats.npz", x=np.zeros((4, 8, 8, 3), "float32"), y=np.arange(4) % 2)
    np.savez(
        tmp_path / "gray.npz", x=np.full((40, SIZE, SIZE, 1), 99, "uint8"), y=np.arange(40) % 2
    )
    (tmp_path / "empty").mkdir()
    x = np.full((4, SIZE, SIZE, 3), 99, "uint8")
    np.savez(tmp_path / "none.npz", x=x, y=np.full(4, -1))
    np.savez(tmp_path / "one.npz", x=x, y=np.zeros(4, int))
    for settings, message in (
        ({"train": str(tmp_path / "none")}, "a folder with a folder of images"),
        ({"train": str(tmp_path / "empty")}, "no folder with images in it"),
        ({"train": str(tmp_path / "absent.npz")}, "must be there"),
        ({"train": str(tmp_path / "none.npz")}, "two classes. Received: none. Is train the folder"),
        ({"train": str(tmp_path / "one.npz")}, "two classes. Received: one, '0'. Is train the"),
        ({"train": str(folder / "more.npz")}, "must have the arrays x, y.*without y"),
        ({"train": str(tmp_path / "floats.npz")}, "uint8.*Received: float32"),
        ({"train": str(tmp_path / "gray.npz")}, r"images of shape \(16, 16, 1\)"),
        ({"unlabelled": (str(tmp_path / "gray.npz"),)}, r"images of shape \(16, 16, 1\)"),
        ({"image_size": (8, 8)}, "image_size must be that of the teacher, 16 x 16"),
        ({"unlabelled": "photos"}, "unlabelled must be a tuple of paths.*'photos'.*the comma"),
        ({"unlabelled": (3,)}, r"must be a tuple of paths.*\(3,\)"),
        ({"image_size": (8,)}, "image_size must be a pair of integers"),
        ({"teacher": "resnet"}, "scales its pixels itself"),
        ({"teacher": "MobileNetV3Small", "teacher_weights": "no.h5"}, "teacher_weights must be"),
        ({"teacher": "VGG16"}, "scales its pixels itself"),
        ({"teacher_weights": "w.h5"}, "teacher_weights are those of a network.*'w.h5' beside"),
        ({"teacher": str(tmp_path / "t.keras")}, "teacher must be .*t.keras', which is not there"),
        ({"teacher": str(folder / "more.npz")}, r"teacher must be .*more\.npz', which is a file"),
        ({"teacher": str(tmp_path)}, "teacher must be a .keras or .h5 file.*which is a folder"),
        ({"teacher": keras.applications.MobileNetV3Small}, "teacher must be a name or a path"),
        ({"width": 0}, "width"),
        ({"output": str(folder / "photos" / "out")}, "output must be a folder outside of.*photos"),
        ({"quantization": "int2"}, "quantization must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            job(folder, **{"output": tmp_path / "out", **settings}).run()
    assert not (tmp_path / "out").exists()


def test_images_too_small_for_the_student(folder, tmp_path):
    """The error was that of an argument `input_shape`, which a job does not have."""
    reader = keras.Sequential(
        [keras.Input((None, None, 3)), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    )
    reader.save(tmp_path / "any_size.keras")
    settings = {"teacher": str(tmp_path / "any_size.keras"), "image_size": (7, 20)}
    with pytest.raises(ValueError, match=r"8 x 8 pixels or more\. Received: 7 x 20\."):
        job(folder, tmp_path / "out", **settings).run()


@pytest.mark.long
def test_settings_are_json(folder, done):
    settings = json.loads((done[0] / "job.json").read_text())
    assert settings["width"] == 8
    with pytest.raises(ValueError, match=r"another job.*width was 8, is 9"):
        job(folder, done[0], width=9).run()
