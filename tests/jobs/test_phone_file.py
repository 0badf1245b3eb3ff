import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd
from keras_distill.jobs.phone_file import export_phone_file

X = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")


@pytest.fixture(scope="module")
def model():
    """Its columns are of very different sizes, which one range of 8 bits cannot hold."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(inputs))
    kernel = np.random.default_rng(1).normal(size=(4, 2)) * [1e4, 1.0]
    model.set_weights([kernel, np.zeros(2)])
    return model


@pytest.mark.long
def test_a_refused_mode_is_not_the_end_of_the_job(model, tmp_path):
    path = tmp_path / "m.tflite"
    with pytest.raises(ValueError, match="Each column of an output"):
        kd.export_tflite(model, path, quantization="int8", representative_data=X)
    (said,) = export_phone_file(model, path=path, quantization="int8", representative_data=X)
    start = f"{path} is written in the mode 'dynamic', and not in 'int8', whose file was refused: "
    assert said.startswith(start + "Each column")
    (tensor,) = kd.describe(path).inputs
    assert tensor.dtype == "float32"


def test_a_mode_that_fits_is_said_nothing_of(model, tmp_path):
    settings = {"path": tmp_path / "m.tflite", "representative_data": X}
    assert export_phone_file(model, quantization="float16", **settings) == ()
