"""Pictures divided by 255 once too often, or never: a right model looked like a wrong one."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd
from keras_distill.export.tflite.metadata_reading import read_labels
from keras_distill.export.tflite.metadata_reading import read_normalization

rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (40, 4, 4, 3)).astype("float32")
Y = rng.integers(0, 2, 40)


def network(rescaling=None, nested=False):
    x = image = keras.Input((4, 4, 3), name="image")
    if rescaling is not None:
        x = layers.Rescaling(*rescaling)(image)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))
    return keras.Sequential([keras.Input((4, 4, 3)), model]) if nested else model


def compare(models, x, **settings):
    return kd.compare(models, (x, Y), num_threads=(), num_resamples=10, verbose=0, **settings)


@pytest.mark.long_but_first
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("rescaling", [(1 / 255,), (1 / 127.5, -1.0)])
def test_a_model_that_rescales(rescaling, nested, tmp_path):
    model = network(rescaling, nested)
    model.save(tmp_path / "m.keras")
    compare({"m": tmp_path / "m.keras"}, PIXELS)
    message = r"models\['m'\] must get pictures .* Received: .* pixels from 0 to 1 by that"
    with pytest.raises(ValueError, match=message):
        compare({"other": network(), "m": tmp_path / "m.keras"}, PIXELS / 255)
    compare({"m": model}, PIXELS / 255, preprocessors={"m": lambda x: x * 255})
    # A picture that is black, and a model that says nothing of its range, are no error.
    compare({"m": model}, PIXELS * 0)
    compare({"m": network()}, PIXELS / 255)


@pytest.mark.long
def test_a_file_with_metadata(tmp_path):
    """Of normalised pixels, and of pixels that the file itself normalises."""
    files = {name: tmp_path / f"{name}.tflite" for name in ("normal", "itself")}
    for name, std, rescaling in (("normal", 255.0, None), ("itself", 1.0, (1 / 255,))):
        metadata = kd.export.ImageMetadata(["a", "b"], mean=0.0, std=std)
        kd.export_tflite(network(rescaling), files[name], metadata=metadata)
        assert read_normalization(files[name]) == ([0.0], [std])
        assert read_labels(files[name]) == ("a", "b")
    compare({"normal": files["normal"]}, PIXELS / 255)
    compare({"itself": files["itself"]}, PIXELS)
    with pytest.raises(ValueError, match=r"models\['normal'\] must .* from 0 to 6.502e\+04 by"):
        compare({"normal": files["normal"]}, PIXELS)
    with pytest.raises(ValueError, match=r"models\['itself'\] must .* from 0 to 1 by that"):
        compare({"itself": files["itself"]}, PIXELS / 255)


@pytest.mark.long
def test_files_that_divide_say_it_without_metadata(tmp_path):
    """Both took pictures of any range."""
    for rescaling in ((1 / 255,), (1 / 127.5, -1.0)):
        model = network(rescaling)
        kd.export_tflite(model, tmp_path / "m.tflite")
        many = rng.integers(0, 256, (300, 4, 4, 3)).astype("float32")
        int8 = {"quantization": "int8", "representative_data": many}
        kd.export_tflite(model, tmp_path / "int8.tflite", **int8)
        path = kd.export_saved_model(model, tmp_path / "m")
        for name in ("m.tflite", "int8.tflite", path):
            compare({"m": tmp_path / name}, PIXELS)
            with pytest.raises(ValueError, match=r"models\['m'\] must .* from 0 to 1 by that"):
                compare({"m": tmp_path / name}, PIXELS / 255)


@pytest.mark.parametrize(("mean", "std"), [((124, 117, 104), 58), ((0.48, 0.46, 0.4), 0.23)])
def test_a_normalization_layer_says_the_scale(mean, std):
    image = keras.Input((4, 4, 3), name="image")
    x = layers.Normalization(mean=mean, variance=[std**2] * 3)(image)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))
    is_divided = std < 1
    right, wrong = (PIXELS / 255, PIXELS) if is_divided else (PIXELS, PIXELS / 255)
    compare({"m": model}, right)
    compare({"m": model}, right * 0)
    with pytest.raises(ValueError, match=r"models\['m'\] must .* scale of its Normalization layer"):
        compare({"m": model}, wrong)
    compare({"m": model}, wrong, preprocessors={"m": lambda x: x / wrong.max() * right.max()})


def test_integers_are_not_cut_off(tmp_path):
    """Pixels from 0 to 1 became black in front of an input of integers, without a word."""
    image = keras.Input((4, 4, 3), dtype="uint8")
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(image)))
    path = kd.export_saved_model(model, tmp_path)
    models = {"keras": model, "served": path}
    for name in models:
        compare({name: models[name]}, PIXELS)
        compare({name: models[name]}, PIXELS.astype("uint8"))
        with pytest.raises(ValueError, match=r"must be integers of dtype uint8.*float32 such as"):
            compare({name: models[name]}, PIXELS / 255)


@pytest.mark.parametrize("divisor", [1000, 32768])
def test_what_is_divided_by_other_numbers_is_no_picture(divisor, tmp_path):
    """Sound was refused, for it is no pixels from 0 to 255."""
    sound = rng.integers(-divisor, divisor, (40, 8)).astype("float32")
    x = keras.Input((8,))
    model = keras.Model(x, layers.Dense(2)(layers.Rescaling(1 / divisor)(x)))
    compare({"m": model}, sound)
    kd.export_tflite(model, tmp_path / "m.tflite", representative_data=sound)


def test_a_file_without_metadata_says_nothing(tmp_path):
    kd.export_tflite(network(), tmp_path / "m.tflite")
    assert read_normalization(tmp_path / "m.tflite") is None
    compare({"m": tmp_path / "m.tflite"}, PIXELS)
