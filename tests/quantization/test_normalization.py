"""8 bits carry the normalization of features of which one is far from the others."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_distill import export_tflite
from keras_distill.quantization.calls import int8_calls


def with_an_outlier(*shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    x[..., 3] += 20
    return x


def normalization(**arguments):
    layer = layers.LayerNormalization(**arguments)
    model = keras.Sequential([keras.Input((5, 16)), layer])
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(size=weight.shape) for weight in model.weights])
    return model


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"axis": 2, "epsilon": 0.5},
        {"scale": False},
        {"center": False},
        {"scale": False, "center": False},
        {"axis": 1},
        {"axis": (1, 2)},
    ],
    ids=str,
)
def test_it_is_the_same_normalization(arguments):
    model, x = normalization(**arguments), with_an_outlier(4, 5, 16)
    expected = model(x)
    with int8_calls(model):
        np.testing.assert_allclose(model(x), expected, atol=1e-5)
    np.testing.assert_array_equal(model(x), expected)


def test_equal_features():
    model = normalization()
    with int8_calls(model):
        found = model(np.full((1, 5, 16), 7.0, "float32"))
    np.testing.assert_allclose(found, np.broadcast_to(model.layers[0].beta, (1, 5, 16)), atol=1e-5)


class Doubled(layers.LayerNormalization):
    def call(self, inputs):
        return 2 * super().call(inputs)


class Conditional(layers.LayerNormalization):
    def call(self, inputs, scale):
        return super().call(inputs) * scale


@pytest.mark.parametrize("call", [lambda x: Doubled()(x), lambda x: Conditional()(x, x)])
def test_calls_of_ones_own_stay(call):
    inputs = keras.Input((5, 16))
    model, x = keras.Model(inputs, call(inputs)), with_an_outlier(4, 5, 16)
    expected = model(x)
    with int8_calls(model):
        np.testing.assert_array_equal(model(x), expected)


def test_an_int8_file_normalizes_as_keras_does(tmp_path):
    """A feature of the first place sets the range for all; squares of the others must remain."""
    x = np.random.default_rng(0).normal(size=(300, 5, 64)).astype("float32")
    x[:, 0, 3] += 20
    inputs = keras.Input((5, 64), name="x")
    others = layers.LayerNormalization()(inputs)[:, 1:]
    model = keras.Model(inputs, layers.Reshape((-1, 1))(others))
    report = export_tflite(model, tmp_path / "s.tflite", quantization="int8", representative_data=x)
    assert report.max_relative_difference < 0.05
