"""The rounding is that of 8 bits, and is gone after the block."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_distill as kd
from keras_distill.students import quantization_aware


def round_to_steps(values, axes):
    """Symmetric 8 bits, in float64."""
    values = np.asarray(values, "float64")
    step = np.abs(values).max(axis=axes, keepdims=True) / 127
    return np.round(values / step) * step


def round_to_range(values):
    values = np.asarray(values, "float64")
    lowest, highest = min(values.min(), 0), max(values.max(), 0)
    step = (highest - lowest) / 255
    zero = np.round(-lowest / step)
    return (np.clip(np.round(values / step) + zero, 0, 255) - zero) * step


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def product_and(following):
    product = layers.Dense(3)
    model = keras.Sequential([keras.Input((5, 4)), product, *following])
    return model, product, noise(16, 5, 4)


class TestRounding:
    def test_dense(self):
        x = noise(32, 7)
        model = keras.Sequential([keras.Input((7,)), layers.Dense(5)])
        kernel, bias = model.get_weights()
        with quantization_aware(model):
            found = model(x)
        expected = round_to_range(x) @ round_to_steps(kernel, 0) + bias
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert np.abs(expected - model(x)).max() > 1e-3

    @pytest.mark.parametrize(
        ("layer", "axes"),
        [
            (layers.Conv2D(6, 3), (0, 1, 2)),
            (layers.DepthwiseConv2D(3, depth_multiplier=2), (0, 1)),
        ],
    )
    def test_convolutions(self, layer, axes):
        x = noise(4, 9, 9, 3)
        model = keras.Sequential([keras.Input((9, 9, 3)), layer])
        with quantization_aware(model):
            found = model(x)
        (kernel,) = (weight for weight in layer.weights if weight.name == "kernel")
        kernel.assign(round_to_steps(kernel, axes))
        np.testing.assert_allclose(found, model(round_to_range(x)), atol=1e-5)

    def test_einsum_of_attention_heads(self):
        x = noise(4, 6, 8)
        layer = layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de")
        model = keras.Sequential([keras.Input((6, 8)), layer])
        with quantization_aware(model):
            found = model(x)
        kernel, bias = model.get_weights()
        exact = np.einsum("abc,cde->abde", round_to_range(x), round_to_steps(kernel, 0)) + bias
        np.testing.assert_allclose(found, round_to_range(exact), atol=1e-5)

    def test_embeddings_have_one_step(self):
        model = keras.Sequential([keras.Input((3,), dtype="int32"), layers.Embedding(9, 4)])
        (table,) = model.get_weights()
        with quantization_aware(model):
            found = model(np.array([[1, 5, 8]]))
        np.testing.assert_allclose(found[0], round_to_steps(table, (0, 1))[[1, 5, 8]], atol=1e-6)

    @pytest.mark.parametrize(
        "following",
        [
            [layers.BatchNormalization(), layers.ReLU()],
            [layers.Activation("relu")],
            [layers.SpatialDropout1D(0.5)],
        ],
    )
    def test_what_is_fused_or_gone_reads_exact_numbers(self, following):
        model, product, x = product_and(following)
        with quantization_aware(model):
            found = model(x)
            exact = product(x)
        for layer in following:
            exact = layer(exact)
        np.testing.assert_array_equal(found, exact)

    @pytest.mark.parametrize("layer", [layers.Activation("gelu"), layers.LeakyReLU()])
    def test_other_activations_are_operations_of_their_own(self, layer):
        model, product, x = product_and([layer])
        with quantization_aware(model):
            found = model(x)
            exact = product(x)
        np.testing.assert_allclose(found, layer(round_to_range(exact)), atol=1e-5)
        assert np.abs(found - layer(exact)).max() > 1e-4

    @pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e-20])
    def test_constant_inputs(self, value):
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
        x = np.full((2, 4), value, "float32")
        with quantization_aware(model):
            found = model(x)
        np.testing.assert_allclose(found, model(x), atol=0.02 * abs(value), rtol=1e-2)

    def test_zero_kernels(self):
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_initializer="zeros")])
        with quantization_aware(model):
            np.testing.assert_array_equal(model(noise(2, 4)), np.zeros((2, 3)))

    def test_mixed_precision(self):
        x = noise(8, 4)
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="mixed_float16")])
        with quantization_aware(model):
            found = model(x)
        assert found.dtype == "float16"
        np.testing.assert_allclose(found, model(x), atol=0.05)


def test_the_gradient_passes_as_if_nothing_was_rounded():
    x = tf.constant(noise(8, 4))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, use_bias=False)])
    with quantization_aware(model), tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(model(x))
    by_kernel, by_x = tape.gradient(loss, [model.trainable_variables[0].value, x])
    expected = np.repeat(round_to_range(x).sum(0)[:, None], 3, axis=1)
    np.testing.assert_allclose(by_kernel, expected, atol=1e-4)
    kernel = round_to_steps(model.get_weights()[0], 0)
    np.testing.assert_allclose(by_x, np.tile(kernel.sum(1), (8, 1)), atol=1e-5)


def student_and_data():
    keras.utils.set_random_seed(0)
    student = keras.Sequential(
        [keras.Input((6,)), layers.Dense(16, activation="relu"), layers.Dense(3)]
    )
    return student, noise(64, 6), np.arange(64) % 3


CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class TestBlock:
    def test_fit_before_within_and_after(self):
        """Functions compiled on one side of the block are not used on the other."""
        student, x, y = student_and_data()
        teacher = keras.Sequential([keras.Input((6,)), layers.Dense(3)])
        distiller = kd.Distiller(student, teacher)
        distiller.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)

        def losses():
            fitted = distiller.fit(x, y, batch_size=64, verbose=0).history["loss"][0]
            evaluated = distiller.evaluate(x, y, batch_size=64, verbose=0)
            return fitted, evaluated, np.ptp(student.predict(x, verbose=0))

        before = losses()
        with quantization_aware(distiller):
            within = losses()
        assert all(abs(a - b) > 1e-5 for a, b in zip(before, within))
        np.testing.assert_allclose(losses(), before, rtol=1e-6)

    def test_it_trains_the_student_in_place(self):
        student, x, y = student_and_data()
        previous = student.get_weights()
        student.compile(keras.optimizers.Adam(0.01), CROSS_ENTROPY)
        with quantization_aware(student):
            losses = student.fit(x, y, epochs=20, verbose=0).history["loss"]
        assert losses[-1] < 0.9 * losses[0]
        assert all(np.abs(a - b).max() > 0 for a, b in zip(previous, student.get_weights()))

    def test_nothing_is_left_after_an_error(self):
        student, x, _ = student_and_data()
        expected = np.asarray(student(x))
        with pytest.raises(KeyboardInterrupt), quantization_aware(student):
            raise KeyboardInterrupt
        np.testing.assert_array_equal(student(x), expected)
        assert not any("call" in layer.__dict__ for layer in student._flatten_layers())

    def test_batch_normalization_learns_within(self):
        model = keras.Sequential(
            [keras.Input((4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(2)]
        )
        model.compile("sgd", CROSS_ENTROPY)
        with quantization_aware(model):
            model.fit(noise(32, 4), np.zeros(32), verbose=0)
        assert np.abs(model.layers[1].moving_mean).max() > 0


def test_it_errs_where_the_int8_file_errs(tmp_path):
    """What is not the same is the file's rounding of its output, of no influence on another."""
    keras.utils.set_random_seed(1)
    image = keras.Input((10, 10, 3), name="image")
    features = layers.Conv2D(16, 3, activation="relu")(image)
    features = layers.Conv2D(16, 3, activation="relu")(features)
    model = keras.Model(image, layers.Dense(8)(layers.Flatten()(features)))
    x = noise(64, 10, 10, 3)
    path = tmp_path / "s.tflite"
    kd.export_tflite(model, path, quantization="int8", representative_data=x)
    run = Interpreter(str(path)).get_signature_runner()
    (name,) = run.get_output_details()
    file = np.concatenate([run(image=row[None])[name] for row in x])
    exact = np.asarray(model(x))
    with quantization_aware(model):
        rounded = np.asarray(model(x))
    assert np.corrcoef((file - exact).ravel(), (rounded - exact).ravel())[0, 1] > 0.5


def test_no_kernels():
    model = keras.Sequential([keras.Input((4,)), layers.LayerNormalization()])
    with pytest.raises(ValueError, match="a layer with a kernel"), quantization_aware(model):
        pass
