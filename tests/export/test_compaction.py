"""Files hold nothing twice, and only short names beside those of inputs and outputs."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from keras_distill import export_tflite
from keras_distill._arguments.imports import import_module
from keras_distill.export.tflite import conversion

RECIPES = {
    "dynamic": "dynamic_wi8_afp32",
    "int4": "dynamic_wi4_afp32",
    "int8": "static_wi8_ai8",
}


def images():
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(image)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(32, 3, activation="relu")(x))
    model = keras.Model(image, layers.Dense(10, name="logits")(x))
    return model, np.random.default_rng(0).normal(size=(60, 16, 16, 3)).astype("float32")


def texts():
    ids = keras.Input((12,), dtype="int32", name="ids")
    x = layers.Conv1D(32, 3, activation="relu")(layers.Embedding(500, 24)(ids))
    model = keras.Model(ids, layers.Dense(4, name="logits")(layers.GlobalMaxPooling1D()(x)))
    return model, np.random.default_rng(0).integers(0, 500, (60, 12)).astype("int32")


# The quantizer's own calibration.
@pytest.mark.long_but_first
@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors")
# Untrained networks like one class best.
@pytest.mark.filterwarnings("ignore:In the output .logits.")
@pytest.mark.parametrize("build", [images, texts])
@pytest.mark.parametrize("quantization", RECIPES)
def test_never_larger_than_the_quantizer_makes_it(build, quantization, tmp_path, monkeypatch):
    """litert-quantizer, on the file of TensorFlow's converter as it is."""
    model, x = build()
    path = tmp_path / "s.tflite"
    ours = export_tflite(
        model, path, quantization=quantization, representative_data=x, tolerance=1.0
    )
    monkeypatch.setattr(conversion, "compact", lambda content: content)
    export_tflite(model, path, representative_data=x)
    quantizer = import_module("litert_quantizer.quantizer").Quantizer(path.read_bytes())
    recipe = getattr(import_module("litert_quantizer.recipe"), RECIPES[quantization])
    quantizer.load_quantization_recipe(recipe())
    calibration = None
    if quantization == "int8":
        (name,) = (tensor.name for tensor in model.inputs)
        rows = [{name: row[None]} for row in x]
        calibration = quantizer.calibrate({"serving_default": rows})
    theirs = quantizer.quantize(calibration, enable_progress_report=False).quantized_model
    assert ours.num_bytes <= len(theirs)


def test_equal_constants_are_stored_once(tmp_path):
    x = keras.Input((100,), name="x")
    first, second = layers.Dense(100), layers.Dense(100)
    model = keras.Model(x, second(first(x)))
    sizes = []
    for weights in (second.get_weights(), first.get_weights()):
        second.set_weights(weights)
        sizes.append(export_tflite(model, tmp_path / "s.tflite").num_bytes)
    assert sizes[0] - sizes[1] > 0.9 * 4 * 100 * 100


def test_clients_find_inputs_and_outputs_by_name(tmp_path):
    model, x = images()
    path = tmp_path / "s.tflite"
    export_tflite(model, path, quantization="dynamic", representative_data=x, tolerance=1.0)
    interpreter = Interpreter(str(path))
    details = interpreter.get_input_details() + interpreter.get_output_details()
    assert all(not tensor["name"].isdigit() for tensor in details)
    names = [tensor["name"] for tensor in interpreter.get_tensor_details()]
    assert len(set(names)) == len(names)
    assert not any("conv" in name for name in names)
