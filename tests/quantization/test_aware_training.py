"""The rounding is that of 8 bits, and is gone after the block."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_distill as kd
from keras_distill.export.signature import NamedModel
from keras_distill.export.tflite.conversion import convert_model
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


def assert_rounded_equal(found, expected):
    """float32 may put a value that lies between two steps on the other one, and what follows it."""
    differences = np.abs(found - expected) / (np.ptp(expected) / 255)
    assert differences.max() < 3
    assert np.mean(differences > 0.01) < 0.1


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def rounded_product(dense, x):
    """The output of a Dense layer, before it is rounded itself."""
    kernel, bias = dense.get_weights()
    return round_to_range(x) @ round_to_steps(kernel, 0) + bias


class TestRounding:
    def test_dense(self):
        x = noise(32, 7)
        model = keras.Sequential([keras.Input((7,)), layers.Dense(5)])
        kernel, bias = model.get_weights()
        with quantization_aware(model):
            found = model(x)
        expected = round_to_range(round_to_range(x) @ round_to_steps(kernel, 0) + bias)
        assert_rounded_equal(found, expected)
        assert np.abs(expected - model(x)).max() > 1e-3

    @pytest.mark.parametrize(
        ("layer", "axes"),
        [
            (layers.Conv1D(6, 3), [(0, 1)]),
            (layers.Conv2D(6, 3), [(0, 1, 2)]),
            (layers.Conv1DTranspose(6, 3), [(0, 2)]),
            (layers.Conv2DTranspose(6, 3, strides=2), [(0, 1, 3)]),
            (layers.DepthwiseConv1D(3, depth_multiplier=2), [(0,)]),
            (layers.DepthwiseConv2D(3, depth_multiplier=2), [(0, 1)]),
            (layers.SeparableConv1D(6, 3, depth_multiplier=2), [(0,), (0, 1)]),
            (layers.SeparableConv2D(6, 3, depth_multiplier=2), [(0, 1), (0, 1, 2)]),
        ],
    )
    def test_convolutions(self, layer, axes):
        """What differs in size has a step size of its own in the file, and nothing else."""
        x = noise(4, *((9, 9, 3) if "2D" in type(layer).__name__ else (9, 3)))
        model = keras.Sequential([keras.Input(x.shape[1:]), layer])
        kernels = [weight for weight in layer.weights if weight.name != "bias"]
        for kernel in kernels:
            kernel.assign(kernel * np.exp(noise(*kernel.shape)))
        with quantization_aware(model):
            found = model(x)
        for kernel, shared in zip(kernels, axes, strict=True):
            kernel.assign(round_to_steps(kernel, shared))
        assert_rounded_equal(found, round_to_range(model(round_to_range(x))))

    def test_einsum_of_attention_heads(self):
        x = noise(4, 6, 8)
        layer = layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de")
        model = keras.Sequential([keras.Input((6, 8)), layer])
        with quantization_aware(model):
            found = model(x)
        kernel, bias = model.get_weights()
        exact = np.einsum("abc,cde->abde", round_to_range(x), round_to_steps(kernel, 0)) + bias
        assert_rounded_equal(found, round_to_range(exact))

    def test_embeddings_have_one_step(self):
        model = keras.Sequential([keras.Input((3,), dtype="int32"), layers.Embedding(9, 4)])
        model.set_weights([1 + noise(9, 4)])
        with quantization_aware(model):
            found = model(np.array([[1, 5, 8]]))
        expected = round_to_range(1 + noise(9, 4))[[1, 5, 8]]
        np.testing.assert_allclose(found[0], expected, atol=1e-6)

    @pytest.mark.parametrize(
        "following",
        [[layers.BatchNormalization(), layers.ReLU()], [layers.Activation("relu")]],
    )
    def test_what_is_fused_reads_exact_numbers(self, following):
        x, dense = noise(16, 5, 4), layers.Dense(3)
        model = keras.Sequential([keras.Input((5, 4)), dense, *following])
        with quantization_aware(model):
            found = model(x)
        expected = rounded_product(dense, x)
        for layer in following:
            expected = layer(expected)
        assert_rounded_equal(found, expected)

    @pytest.mark.parametrize("layer", [layers.Activation("gelu"), layers.LeakyReLU()])
    def test_other_activations_are_operations_of_their_own(self, layer):
        x, dense = noise(16, 5, 4), layers.Dense(3)
        model = keras.Sequential([keras.Input((5, 4)), dense, layer])
        with quantization_aware(model):
            found = model(x)
        exact = rounded_product(dense, x)
        expected = round_to_range(layer(round_to_range(exact)))
        assert_rounded_equal(found, expected)
        assert np.abs(expected - round_to_range(layer(exact))).max() > 1e-3

    @pytest.mark.parametrize("activation", ["relu", "gelu"])
    def test_activations_of_a_dense_layer(self, activation):
        x, dense = noise(16, 4), layers.Dense(3, activation=activation)
        model = keras.Sequential([keras.Input((4,)), dense])
        with quantization_aware(model):
            found = model(x)
        product = rounded_product(dense, x)
        if activation == "gelu":
            product = round_to_range(product)
        expected = round_to_range(dense.activation(product))
        assert_rounded_equal(found, expected)
        assert dense.activation is keras.activations.get(activation)

    def test_layer_normalization(self):
        x = 1 + noise(8, 6, 16)
        layer = layers.LayerNormalization()
        model = keras.Sequential([keras.Input((6, 16)), layers.Dense(16), layer])
        layer.gamma.assign(1 + 0.3 * noise(16))
        layer.beta.assign(0.1 * noise(16))
        with quantization_aware(model):
            found = model(x)
        values = round_to_range(rounded_product(model.layers[0], x))
        centered = round_to_range(values - round_to_range(values.mean(-1, keepdims=True)))
        square_sums = round_to_range((centered**2).sum(-1, keepdims=True))
        inverse = round_to_range((square_sums + 16 * layer.epsilon) ** -0.5)
        gamma, beta = 4 * np.array(layer.gamma, "float64"), np.array(layer.beta, "float64")
        scaled = round_to_range(round_to_range(centered * inverse) * gamma)
        expected = round_to_range(scaled + beta)
        assert_rounded_equal(found, expected)

    def test_attention_scores(self):
        """In a file they are rounded before and after the softmax, not in one fused step."""
        x = noise(2, 5, 8)
        attention = layers.MultiHeadAttention(1, 8, use_bias=False)
        inputs = keras.Input((5, 8))
        model = keras.Model(inputs, attention(inputs, inputs))
        with quantization_aware(model):
            found = model(x)
        query, key, value, output = (
            round_to_steps(weight, 0) if n < 3 else round_to_steps(weight, (0, 1))
            for n, weight in enumerate(attention.get_weights())
        )
        x = round_to_range(x)
        query, key, value = (
            round_to_range(np.einsum("btd,dhe->bthe", x, kernel)) for kernel in (query, key, value)
        )
        scores = round_to_range(np.einsum("bqhe,bkhe->bhqk", query, key) / 8**0.5)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights = round_to_range(weights / weights.sum(-1, keepdims=True))
        mixed = round_to_range(np.einsum("bhqk,bkhe->bqhe", weights, value))
        expected = round_to_range(np.einsum("bqhe,hed->bqd", mixed, output))
        assert_rounded_equal(found, expected)

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
    @pytest.mark.long
    def test_fit_before_within_and_after(self):
        """Functions compiled on one side of the block are not used on the other."""
        student, x, y = student_and_data()
        teacher = keras.Sequential([keras.Input((6,)), layers.Dense(3)])
        distiller = kd.Distiller(student=student, teacher=teacher)
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

    @pytest.mark.long
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


def convolutions():
    image = keras.Input((10, 10, 3), name="image")
    features = layers.Conv2D(16, 3, activation="relu")(image)
    features = layers.Conv2D(16, 3, activation="relu")(features)
    return keras.Model(image, layers.Dense(8)(layers.Flatten()(features))), noise(64, 10, 10, 3)


def transformer():
    student = kd.students.transformer(
        50, 8, hidden_dim=16, num_layers=2, num_heads=2, sequence_length=10
    )
    return student, np.random.default_rng(0).integers(1, 50, (64, 10)).astype("int32")


def other_convolutions():
    series = keras.Input((16, 3), name="series")
    x = layers.DepthwiseConv1D(3, depth_multiplier=4)(series)
    x = layers.SeparableConv1D(8, 3, activation="relu")(x)
    x = layers.Conv1DTranspose(8, 3, activation="relu")(x)
    return keras.Model(series, layers.Dense(8)(layers.Flatten()(x))), noise(64, 16, 3)


@pytest.mark.long_but_first
@pytest.mark.parametrize("build", [convolutions, transformer, other_convolutions])
def test_it_errs_as_the_int8_file_does(build):
    """Only as much: ranges are those of a batch, and each rounding decides those behind it."""
    keras.utils.set_random_seed(1)
    model, x = build()
    # Calibrated on all of x: outside of the ranges the file errs by more than rounding.
    named_model = NamedModel(model)
    content = convert_model(
        named_model,
        named_model.name_inputs(x),
        quantization="int8",
        batch_size=1,
        integer_io=False,
        allow_select_tf_ops=False,
    )
    run = Interpreter(model_content=content).get_signature_runner()
    ((input_name,), (name,)) = run.get_input_details(), run.get_output_details()
    file = np.concatenate([run(**{input_name: row[None]})[name] for row in x])
    exact = np.asarray(model(x))
    with quantization_aware(model):
        rounded = np.asarray(model(x))
    assert 0.7 < np.std(rounded - exact) / np.std(file - exact) < 1.4


def test_no_kernels():
    model = keras.Sequential([keras.Input((4,)), layers.LayerNormalization()])
    with pytest.raises(ValueError, match="a layer with a kernel"), quantization_aware(model):
        pass
