"""The grown network has the function of the first one, and no other weights than it should."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_distill import students
from keras_distill.students import net2net_deeper
from keras_distill.students import net2net_wider


def randomized(model, seed=0):
    """Biases and statistics that are not 0 and 1: an error in them would not show."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.name in ("bias", "beta", "moving_mean"):
            variable.assign(rng.normal(size=variable.shape))
        elif variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 2.0, variable.shape))
    return model


def noise(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def cnn():
    """Everything that copies of channels may pass, and each kind of layer that may read them."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(5, 3, padding="same", name="first")(image)
    x = layers.BatchNormalization()(x)
    x = layers.LeakyReLU()(x)
    x = layers.SpatialDropout2D(0.5)(x)
    wide = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    y = layers.Conv2D(4, 1, activation="gelu", name="branch")(image)
    x = layers.Concatenate(name="join")([y, wide, image])
    x = layers.Activation("tanh")(x)
    z = layers.GlobalMaxPooling2D()(wide)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(6, 3, name="second")(x)
    x = layers.AveragePooling2D(2, padding="same")(layers.ZeroPadding2D()(x))
    x = layers.Dropout(0.5)(layers.Flatten(name="flat")(x))
    outputs = {"x": layers.Dense(4, name="of_x")(x), "z": layers.Dense(2, name="of_z")(z)}
    return randomized(keras.Model(image, outputs))


def assert_same_function(grown, model, x, training=False):
    expected = keras.tree.flatten(model(x, training=training))
    for found, value in zip(keras.tree.flatten(grown(x, training=training)), expected):
        assert np.abs(value).max() > 0.1
        np.testing.assert_allclose(found, value, atol=1e-5)


class TestWider:
    @pytest.mark.parametrize("layer_name", ["first", "branch", "second"])
    def test_cnn(self, layer_name):
        """Each channel twice or more, so that counts of 1 to 5 divide the next kernel."""
        model, x = cnn(), noise(6, 8, 8, 3)
        old = model.get_layer(layer_name).filters
        wider = net2net_wider(model, layer_name, 3 * old, seed=0)
        assert wider.get_layer(layer_name).filters == 3 * old
        assert_same_function(wider, model, x)
        for layer in model.layers:
            new = wider.get_layer(layer.name)
            is_alike = [w.shape for w in layer.weights] == [w.shape for w in new.weights]
            if layer.name != layer_name and is_alike:
                for value, copy in zip(layer.get_weights(), new.get_weights()):
                    np.testing.assert_array_equal(copy, value)

    def test_keras_masks(self):
        """They come to a pooling as another input, of no channels."""
        ids = keras.Input((6,), dtype="int32")
        x = layers.Embedding(9, 4, mask_zero=True)(ids)
        x = layers.BatchNormalization()(layers.Dense(5, activation="relu", name="hidden")(x))
        x = layers.GlobalAveragePooling1D()(x)
        model = randomized(keras.Model(ids, layers.Dense(2)(x)))
        tokens = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 0]])
        assert_same_function(net2net_wider(model, "hidden", 9), model, tokens)

    def test_weights_are_those_of_the_paper(self):
        """Also another division, such as by the mean count, could keep the function."""
        model = randomized(students.mlp((3,), 2, num_layers=2, hidden_dim=4))
        wider = net2net_wider(model, "hidden_1", 7, seed=3)
        copies = np.random.default_rng(3).integers(0, 4, 3)
        sources = [0, 1, 2, 3, *copies]
        kernel, bias = model.get_layer("hidden_1").get_weights()
        following, _ = model.get_layer("hidden_2").get_weights()
        found_kernel, found_bias = wider.get_layer("hidden_1").get_weights()
        found_following, _ = wider.get_layer("hidden_2").get_weights()
        for new, old in enumerate(sources):
            np.testing.assert_array_equal(found_kernel[:, new], kernel[:, old])
            assert found_bias[new] == bias[old]
            expected = following[old] / sources.count(old)
            np.testing.assert_allclose(found_following[new], expected, rtol=1e-6)

    def test_in_training(self):
        """Copies have one batch's statistics, so batch normalization keeps the function."""
        model = randomized(students.plain_cnn((8, 8, 2), 3, num_layers=2, filters=4))
        wider = net2net_wider(model, "conv_1", 9, seed=0)
        assert_same_function(wider, model, 100 + 50 * noise(16, 8, 8, 2), training=True)

    @pytest.mark.parametrize(
        ("following", "shape"),
        [
            (lambda: [layers.Dense(3, activation="relu"), layers.Dense(2)], (5, 4)),
            (lambda: [layers.Conv1D(3, 2, name="dense"), layers.Conv1D(2, 2)], (5, 4)),
            (lambda: [layers.Conv3D(3, 2, name="dense"), layers.Conv3D(2, 1)], (3, 3, 3, 2)),
        ],
    )
    def test_sequential_of_other_ranks(self, following, shape):
        following = following()
        model = randomized(keras.Sequential([keras.Input(shape), *following]))
        wider = net2net_wider(model, following[0].name, 5, seed=0)
        assert_same_function(wider, model, noise(4, *shape))

    def test_what_adapt_has_learnt(self):
        """No weights have it as they are copied: means and variances would be lost."""
        x = 50 + 9 * noise(32, 3)
        normalization = layers.Normalization()
        normalization.adapt(x)
        numbers = layers.IntegerLookup(output_mode="one_hot")
        numbers.adapt(np.array([3, 5, 9]))
        inputs = keras.Input((3,))
        number = keras.Input((1,), dtype="int64")
        features = layers.Concatenate()([normalization(inputs), numbers(number)])
        hidden = layers.Dense(4, "relu", name="hidden")(features)
        model = keras.Model([inputs, number], layers.Dense(2)(hidden))
        batch = [x, np.array([[3], [5], [9], [7]] * 8)]
        for grown in (net2net_wider(model, "hidden", 7), net2net_deeper(model, "hidden")):
            assert_same_function(grown, model, batch)

    def test_a_copy_of_what_has_learnt_learns_anew(self):
        """As one layer of two models, it would change the teacher with the student."""
        x = 50 + 9 * noise(32, 3)
        normalization = layers.Normalization(name="normalization")
        normalization.adapt(x)
        hidden = layers.Dense(4, "relu", name="hidden")
        model = keras.Sequential([keras.Input((3,)), normalization, hidden, layers.Dense(2)])
        expected = model(x)
        wider = net2net_wider(model, "hidden", 7)
        with students.quantization_aware(wider):
            np.testing.assert_array_equal(model(x), expected)
        wider.get_layer("normalization").adapt(2 * x)
        np.testing.assert_array_equal(model(x), expected)

    def test_functions_that_keras_cannot_find(self):
        """By name, as configurations have them, a function of one's own may be another one."""

        def relu(x):
            return keras.ops.relu(x) + x

        inside = keras.Sequential([keras.Input((3,)), layers.Dense(4, relu, name="inside")])
        inputs = keras.Input((3,))
        x = layers.Dense(4, relu, name="hidden")(inside(inputs))
        x = layers.Dense(4, name="reader")(x)
        x = layers.Lambda(lambda x, factor: factor * x, arguments={"factor": 3})(x)
        x = layers.Dense(4, relu, name="last")(layers.Lambda(relu)(x))
        model = randomized(keras.Model(inputs, layers.Dense(2, name="logits")(x)))
        for grown in (net2net_wider(model, "hidden", 7), net2net_deeper(model, "logits")):
            assert_same_function(grown, model, noise(8, 3))

    def test_a_layer_without_a_configuration(self):
        class Scale(layers.Layer):
            def __init__(self, factor):
                super().__init__(name="scale")
                self.factor = factor

            def call(self, x):
                return self.factor * x

        model = keras.Sequential(
            [keras.Input((3,)), layers.Dense(4, name="hidden"), Scale(2), layers.Dense(2)]
        )
        with pytest.raises(ValueError, match="Received: 'scale', a Scale, which cannot"):
            net2net_deeper(model, "hidden")

    @pytest.mark.long
    def test_several_times_and_trained(self, tmp_path):
        """The grown model is an ordinary one: it grows again, learns, is saved."""
        model = randomized(students.mobile_cnn((8, 8, 1), 2, width=4, depths=(1,)))
        names = [layer.name for layer in model.layers if isinstance(layer, layers.Conv2D)]
        x, grown = 255 * np.abs(noise(8, 8, 8, 1)), model
        for name in names:
            grown = net2net_wider(grown, name, 11, seed=0)
        assert_same_function(grown, model, x)
        grown.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        grown.fit(x, np.arange(8) % 2, verbose=0)
        grown.save(tmp_path / "grown.keras")
        assert_same_function(keras.models.load_model(tmp_path / "grown.keras"), grown, x)

    def test_noise_tells_copies_apart(self):
        """Without it copies have one gradient; the first ones stay exact."""
        model = randomized(students.mlp((3,), 2, num_layers=1, hidden_dim=4))
        wider = net2net_wider(model, "hidden_1", 8, noise=0.01, seed=0)
        kernel, old = wider.get_layer("hidden_1").kernel, model.get_layer("hidden_1").kernel
        np.testing.assert_array_equal(kernel[:, :4], old)
        exact = net2net_wider(model, "hidden_1", 8, seed=0).get_layer("hidden_1").kernel
        spread = np.std(kernel[:, 4:] - exact[:, 4:]) / np.std(exact)
        assert 0.003 < spread < 0.03

    def test_the_model_is_not_changed(self):
        model = cnn()
        previous, names = model.get_weights(), [layer.name for layer in model.layers]
        model.compile("sgd", lambda y, z: y - z)
        model(keras.Input((8, 8, 3)))
        assert not net2net_wider(model, "first", 9, noise=1.0).compiled
        for before, after in zip(previous, model.get_weights()):
            np.testing.assert_array_equal(before, after)
        assert [layer.name for layer in model.layers] == names

    def test_resnet8(self, shared):
        path = shared / "models" / "cifar10_resnet8" / "pretrainedResnet.h5"
        model = keras.models.load_model(path, compile=False)
        x = np.random.default_rng(0).uniform(0, 1, (4, 32, 32, 3)).astype("float32")
        wider = net2net_wider(model, "conv2d_1", 40, seed=0)
        assert_same_function(wider, model, [x])
        with pytest.raises(ValueError, match="reaches the Add 'add', which reads several inputs"):
            net2net_wider(model, "conv2d", 40)


def blocked(build):
    """A model with a Dense layer "hidden" of 4, and something behind it."""
    inputs = keras.Input((6,))
    hidden = layers.Dense(4, name="hidden")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="last")(build(hidden)))


SHARED = layers.Dense(4, name="shared")


class CosineDense(layers.Dense):
    """Reads directions: of copied channels another one."""

    def call(self, inputs):
        return super().call(keras.ops.normalize(inputs, axis=-1))


class StandardizedConv(layers.Conv1D):
    """Of a kernel without its mean; the kernel of the readers is not of copies alone."""

    def convolution_op(self, inputs, kernel):
        mean = keras.ops.mean(kernel, axis=(0, 1), keepdims=True)
        return super().convolution_op(inputs, kernel - mean)


class SquareNormalization(layers.BatchNormalization):
    def call(self, inputs, training=None):
        return super().call(inputs) / keras.ops.sum(inputs**2, -1, keepdims=True)


class SumDropout(layers.Dropout):
    def call(self, inputs):
        return inputs / keras.ops.sum(inputs, -1, keepdims=True)


class TestCannotBeWidened:
    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (
                lambda x: layers.Add(name="sum")([x, x]),
                "reaches the Add 'sum', which reads several inputs",
            ),
            (lambda x: layers.LayerNormalization(name="norm")(x), "LayerNormalization 'norm'"),
            (lambda x: layers.Softmax(name="soft")(x), "the Softmax 'soft'"),
            (lambda x: layers.Activation("softmax", name="soft")(x), "the Activation 'soft'"),
            (lambda x: layers.Activation(keras.ops.softmax, name="s")(x), "the Activation 's'"),
            (lambda x: layers.Reshape((2, 2), name="shape")(x), "the Reshape 'shape'"),
            (lambda x: SHARED(SHARED(x)), "the Dense 'shared', which is called more than once"),
            (lambda x: keras.ops.sum(x, -1, keepdims=True), "the Sum"),
            (lambda x: CosineDense(3, name="own")(x), "the CosineDense 'own'"),
            (lambda x: SquareNormalization(name="own")(x), "SquareNormalization 'own'"),
            (lambda x: SumDropout(0.5, name="own")(x), "the SumDropout 'own'"),
        ],
    )
    def test_what_is_behind(self, build, message):
        """Any of these would change the function, most of them without an error of Keras's."""
        with pytest.raises(ValueError, match=message):
            net2net_wider(blocked(build), "hidden", 6)

    @pytest.mark.parametrize("change", [lambda x: x.enable_lora(2), lambda x: x.quantize("int8")])
    def test_lora_and_quantized_weights(self, change):
        def model_with(name):
            hidden = layers.Dense(8, activation="relu", name="hidden")
            model = keras.Sequential([keras.Input((8,)), hidden, layers.Dense(3, name="last")])
            change(model.get_layer(name))
            return model

        for name, message in (
            ("hidden", "without LoRA or quantization, whose .*Received: the Dense 'hidden'"),
            ("last", "the Dense 'last', which has LoRA or quantized weights"),
        ):
            with pytest.raises(ValueError, match=message):
                net2net_wider(model_with(name), "hidden", 12)
        model = model_with("hidden")
        assert_same_function(net2net_deeper(model, "hidden"), model, noise(4, 8))

    def test_a_convolution_of_ones_own(self):
        inputs = keras.Input((6, 3))
        first = layers.Conv1D(4, 1, name="first")(inputs)
        model = keras.Model(inputs, StandardizedConv(3, 2, name="own")(first))
        with pytest.raises(ValueError, match="the StandardizedConv 'own', which cannot read"):
            net2net_wider(model, "first", 6)
        for grow in (lambda: net2net_wider(model, "own", 6), lambda: net2net_deeper(model, "own")):
            with pytest.raises(ValueError, match=r"of Keras's own class.*the StandardizedConv"):
                grow()

    @pytest.mark.parametrize("activation", ["softmax", keras.ops.softmax, layers.Softmax()])
    def test_activations_over_all_channels(self, activation):
        """Copies of channels would take a share of the others'."""
        mixing = layers.Dense(4, activation, name="mixing")
        model = keras.Sequential([keras.Input((3,)), mixing, layers.Dense(2)])
        with pytest.raises(ValueError, match="with an activation of each channel by itself"):
            net2net_wider(model, "mixing", 6)

    @pytest.mark.parametrize(
        ("layer_name", "width", "settings", "message"),
        [
            ("last", 6, {}, "its channels are an output of the model"),
            ("nowhere", 6, {}, "layer_name must name a layer of the model"),
            ("norm", 6, {}, "layer_name must name a Dense or Conv layer that is not grouped"),
            ("first", 6, {}, "is not grouped, in channels_last"),
            ("hidden", 4, {}, "width must be more than the 4 of 'hidden'"),
            ("hidden", 4.5, {}, "width must be an integer"),
            ("hidden", 6, {"noise": -1.0}, "noise must be a finite number >= 0"),
            ("hidden", 6, {"noise": "a"}, "noise must be a finite number >= 0"),
        ],
    )
    def test_arguments(self, layer_name, width, settings, message):
        inputs = keras.Input((3, 4, 4))
        x = layers.Conv2D(5, 3, data_format="channels_first", name="first")(inputs)
        x = layers.Dense(4, name="hidden")(layers.Flatten()(x))
        x = layers.BatchNormalization(name="norm")(x)
        model = keras.Model(inputs, layers.Dense(2, name="last")(x))
        with pytest.raises(ValueError, match=message):
            net2net_wider(model, layer_name, width, **settings)


class TestDeeper:
    @pytest.mark.parametrize("with_data", [False, True])
    def test_cnn(self, with_data):
        """Behind an activation, behind a linear convolution, and behind a dense layer."""
        model, x = (
            randomized(students.plain_cnn((8, 8, 2), 3, num_layers=2, filters=4)),
            noise(9, 8, 8, 2),
        )
        x = 100 + 50 * x
        deeper, data = model, x if with_data else None
        for name in ("hidden_1", "conv_2", "logits"):
            deeper = net2net_deeper(deeper, name, normalization_data=data)
        assert_same_function(deeper, model, x)
        assert len(deeper.layers) == len(model.layers) + 4 + 3 * with_data
        kernel = np.array(deeper.get_layer("hidden_1_deeper").kernel)
        expected = np.zeros((3, 3, 4, 4))
        expected[1, 1] = np.eye(4)
        np.testing.assert_array_equal(kernel, expected)
        assert deeper.get_layer("hidden_1_deeper_activation").output.shape == (None, 8, 8, 4)

    def test_in_training_with_the_batch(self):
        """Statistics that are not undone would change the function at the first step."""
        model = randomized(students.mlp((3,), 2, num_layers=2, hidden_dim=6))
        x = noise(32, 3)
        deeper = net2net_deeper(model, "hidden_1", normalization_data=x)
        assert_same_function(deeper, model, x, training=True)

    @pytest.mark.parametrize("size", [1, 2, 4, (3, 2)])
    def test_even_kernels(self, size):
        """padding="same" is not symmetric for them; the identity would be a shift."""
        model, x = cnn(), noise(4, 8, 8, 3)
        deeper = net2net_deeper(model, "second", kernel_size=size, name="new")
        assert_same_function(deeper, model, x)
        assert deeper.get_layer("new").kernel.shape[:2] == (
            (size, size) if size in (1, 2, 4) else size
        )

    @pytest.mark.parametrize("layer_name", ["causal", "relu"])
    @pytest.mark.parametrize("size", [None, 2, 3])
    def test_causal_convolutions(self, layer_name, size):
        """Behind one that sees both sides, the model would learn from the future."""
        inputs = keras.Input((8, 2))
        x = layers.Conv1D(4, 3, padding="causal", name="causal")(inputs)
        model = randomized(keras.Model(inputs, layers.ReLU(name="relu")(x)))
        deeper = net2net_deeper(model, layer_name, kernel_size=size)
        x = noise(3, 8, 2)
        assert_same_function(deeper, model, x)
        kernel = deeper.get_layer(f"{layer_name}_deeper").kernel
        kernel.assign(noise(*kernel.shape))
        later = x + (np.arange(8)[:, None] >= 5)
        np.testing.assert_allclose(deeper(x)[:, :5], deeper(later)[:, :5], atol=1e-6)

    @pytest.mark.parametrize("layer_name", ["image", "relu", "features"])
    def test_dtype_of_the_layer(self, layer_name):
        """The global one is another, if the model was loaded."""
        inputs = keras.Input((6, 3))
        dtype = {"dtype": "mixed_float16"}
        x = layers.Conv1D(4, 3, name="image", activation="relu", **dtype)(inputs)
        x = layers.Flatten()(layers.Activation("relu", name="relu", **dtype)(x))
        x = layers.Dense(4, activation="relu", name="features", **dtype)(x)
        model = keras.Model(inputs, layers.Dense(2)(x))
        deeper = net2net_deeper(model, layer_name, normalization_data=noise(4, 6, 3))
        new = [layer for layer in deeper.layers if layer.name.startswith(f"{layer_name}_deeper")]
        assert [layer.dtype_policy.name for layer in new] == 3 * ["mixed_float16"]

    @pytest.mark.parametrize(
        "activation",
        [layers.ReLU(6.0), layers.Activation("relu6"), layers.Activation("linear"), layers.ReLU()],
    )
    def test_activations(self, activation):
        """relu6 behind relu6 is relu6; relu alone would be, too, and leave 6 out when trained."""
        inputs = keras.Input((5,))
        hidden = activation(layers.Dense(4)(inputs))
        model = randomized(keras.Model(inputs, layers.Dense(2)(hidden)))
        deeper = net2net_deeper(model, activation.name)
        assert_same_function(deeper, model, 10 * noise(8, 5))
        again = [layer for layer in deeper.layers if layer.name.endswith("deeper_activation")]
        assert [layer(np.array([9.0]))[0] for layer in again] == (
            [activation(np.array([9.0]))[0]] if again else []
        )

    @pytest.mark.long
    def test_it_grows_both_ways_and_learns(self):
        model = randomized(students.mlp((3,), 2, num_layers=1, hidden_dim=4))
        deeper = net2net_deeper(net2net_wider(model, "hidden_1", 6, seed=0), "hidden_1")
        grown = net2net_wider(deeper, "hidden_1_deeper", 9, seed=0)
        x = noise(16, 3)
        assert_same_function(grown, model, x)
        grown.compile(keras.optimizers.Adam(0.05), "mse")
        losses = grown.fit(x, x[:, :2], epochs=20, verbose=0).history["loss"]
        assert losses[-1] < 0.5 * losses[0]

    def test_shared_layer(self):
        """The layer behind each of its calls is one layer, too."""
        inputs = keras.Input((4,))
        shared = layers.Dense(4, activation="relu", name="shared")
        model = randomized(keras.Model(inputs, shared(shared(inputs))))
        deeper = net2net_deeper(model, "shared")
        assert_same_function(deeper, model, noise(8, 4))
        assert len(deeper.weights) == 4

    @pytest.mark.parametrize(
        ("layer_name", "settings", "message"),
        [
            ("tanh", {}, "with linear, relu or relu6"),
            ("leaky", {}, "with linear, relu or relu6"),
            ("nowhere", {}, "layer_name must name a layer of the model"),
            ("hidden", {"name": "last"}, "name must be a new one"),
            ("image", {"kernel_size": 0}, "kernel_size must be an integer of 1 or more"),
            ("image", {"kernel_size": np.int64(0)}, "kernel_size must be an integer"),
            ("image", {"kernel_size": 3.0}, "kernel_size must be an integer.*=3.0"),
            ("image", {"kernel_size": "3"}, "kernel_size must be an integer"),
            ("image", {"kernel_size": (3, 3)}, r"or one for each of 1 axes. Received.*\(3, 3\)"),
        ],
    )
    def test_bad(self, layer_name, settings, message):
        """tanh of tanh is another function."""
        inputs = keras.Input((4, 3))
        image = layers.Conv1D(3, 1, name="image")(inputs)
        x = layers.ReLU(negative_slope=0.1, name="leaky")(layers.Flatten()(image))
        x = layers.Dense(4, activation="tanh", name="tanh")(x)
        x = layers.Dense(4, name="hidden")(x)
        model = keras.Model(inputs, layers.Dense(2, name="last")(x))
        with pytest.raises(ValueError, match=message):
            net2net_deeper(model, layer_name, **settings)
