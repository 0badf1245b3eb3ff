"""Convolutions give way to cheaper ones, and nothing else changes."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd
from keras_distill.students import moonshine


def residual_net():
    """With each kind of convolution: the stem, a plain, a strided, a 1 x 1, a dilated one."""
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(x)
    y = layers.Conv2D(8, 3, padding="same", name="plain")(x)
    x = layers.Add(name="add")([x, y])
    y = layers.Conv2D(16, (3, 5), strides=2, use_bias=False, padding="same", name="strided")(x)
    x = layers.Conv2D(16, 1, strides=2, name="shortcut")(x)
    x = layers.Add(name="strided_add")([x, y])
    x = layers.Conv2D(16, 3, dilation_rate=2, activation="tanh", name="dilated")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model({"image": image}, {"logits": layers.Dense(4, name="logits")(x)})


def num_parameters(inputs, outputs, area, bottleneck, groups, bias):
    """Of a block, by the paper's figures, and two batch normalizations of four weights each."""
    if bottleneck == 1:
        return inputs * inputs // groups * area + 4 * inputs + (inputs + bias) * outputs
    narrow = outputs // bottleneck
    spatial = narrow * narrow // groups * area + 4 * narrow
    return inputs * narrow + 4 * narrow + spatial + (narrow + bias) * outputs


@pytest.mark.parametrize(("bottleneck", "groups"), [(1, 4), (2, 1), (2, 4), (4, 2)])
def test_blocks_have_the_papers_number_of_parameters(bottleneck, groups):
    """Groups or a bottleneck in the wrong place would still have the right shapes."""
    model = residual_net()
    student = moonshine(model, groups=groups, bottleneck=bottleneck)
    replaced = [(8, 8, 9, 1), (8, 16, 15, 0), (16, 16, 9, 1)]
    kept = model.count_params() - sum(i * o * area + bias * o for i, o, area, bias in replaced)
    expected = sum(num_parameters(i, o, a, bottleneck, groups, bias) for i, o, a, bias in replaced)
    assert student.count_params() == kept + expected


@pytest.mark.parametrize("settings", [{"groups": "depthwise"}, {"groups": 2, "bottleneck": 2}])
def test_each_layer_keeps_name_shape_and_activation(settings):
    """A lost stride, dilation or activation would move every objective on these layers."""
    model = residual_net()
    student = moonshine(model, **settings)
    for layer in model.layers[1:]:
        new = student.get_layer(layer.name)
        assert type(new) is type(layer)
        assert new.output.shape == layer.output.shape
        assert getattr(new, "activation", None) is getattr(layer, "activation", None)
        assert getattr(new, "use_bias", None) == getattr(layer, "use_bias", None)
    assert student.get_layer("dilated_spatial").dilation_rate == (2, 2)
    assert student.get_layer("strided_spatial").kernel_size == (3, 5)
    assert student.get_layer("dilated").kernel_size == (1, 1)
    for kept in ("stem", "shortcut"):
        assert student.get_layer(kept).kernel_size == model.get_layer(kept).kernel_size
    assert student({"image": np.ones((2, 16, 16, 3))})["logits"].shape == (2, 4)
    assert set(student.input) == {"image"}
    assert set(student.output) == {"logits"}


def test_weights_are_new_and_the_teacher_keeps_its_own():
    model = residual_net()
    previous = model.get_weights()
    student = moonshine(model, groups=2)
    stem = student.get_layer("stem").kernel
    assert np.abs(stem - model.get_layer("stem").kernel).max() > 1e-3
    for before, after in zip(previous, model.get_weights()):
        np.testing.assert_array_equal(before, after)


@pytest.mark.long
def test_it_is_taught_saved_and_exported(tmp_path):
    """Grouped convolutions must have a gradient on CPUs, and an operation of TFLite."""
    teacher = kd.students.plain_cnn((8, 8, 1), 3, num_layers=2, filters=8)
    student = moonshine(teacher, groups=4)
    x = np.random.default_rng(0).uniform(0, 255, (32, 8, 8, 1)).astype("float32")
    objective = kd.Objective(
        kd.losses.FeatureMSE(), teacher_layer="hidden_2", student_layer="hidden_2"
    )
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.0, objectives=[objective])
    distiller.compile(keras.optimizers.Adam(1e-2))
    before = student.get_layer("conv_2_spatial").kernel.numpy()
    losses = distiller.fit(x, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert np.abs(student.get_layer("conv_2_spatial").kernel - before).max() > 1e-3
    student.save(tmp_path / "student.keras")
    loaded = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_allclose(loaded(x), student(x), atol=1e-6)
    report = kd.export_tflite(student, tmp_path / "student.tflite", representative_data=x)
    assert report.max_difference < 1e-4


def test_sequential_and_one_axis():
    model = keras.Sequential(
        [
            keras.Input((12, 4)),
            layers.Conv1D(6, 3, padding="causal"),
            layers.Conv1D(6, 3, padding="causal", activation="relu"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    for groups in (3, "depthwise"):
        student = moonshine(model, groups=groups)
        assert student.output_shape == (None, 2)
        assert sum(isinstance(layer, layers.Conv1D) for layer in student.layers) == 3
        x = np.random.default_rng(0).normal(size=(2, 12, 4))
        later = x + np.arange(12)[:, None] // 11  # The last place alone.
        causal = keras.Model(student.inputs[0], student.layers[-3].output)
        np.testing.assert_allclose(causal(x)[:, :-1], causal(later)[:, :-1], atol=1e-6)


def test_a_shared_convolution_stays_shared():
    image = keras.Input((8, 8, 2))
    stem, shared = layers.Conv2D(4, 3), layers.Conv2D(4, 3, padding="same", name="shared")
    model = keras.Model(image, shared(shared(stem(image))))
    student = moonshine(model, bottleneck=2)
    assert sum(layer.name == "shared" for layer in student.layers) == 1
    assert student(np.ones((2, 8, 8, 2))).shape == (2, 6, 6, 4)


def test_a_stem_that_is_called_again_stays():
    image = keras.Input((8, 8, 4))
    stem, other = layers.Conv2D(4, 3, padding="same", name="stem"), layers.Conv2D(4, 3)
    student = moonshine(keras.Model(image, other(stem(stem(image)))), groups=2)
    assert student.get_layer("stem").kernel_size == (3, 3)


@pytest.mark.long
def test_models_inside():
    """A backbone with a head behind it is the usual shape of a Keras model."""
    backbone = kd.students.plain_cnn((8, 8, 3), 4, num_layers=3, filters=4, name="backbone")
    image = keras.Input((8, 8, 3))
    maps = layers.Reshape((8, 8, 4))(layers.Dense(256)(backbone(image)))
    convolution = layers.Conv2D(4, 3, name="only")
    again = keras.Sequential([keras.Input((8, 8, 4)), convolution], name="again")
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(again(maps))))
    student = moonshine(model, groups=2)
    inside = student.get_layer("backbone")
    kept = model.get_layer("backbone").get_layer("conv_1")
    assert inside.get_layer("conv_1").kernel_size == kept.kernel_size == (3, 3)
    assert inside.get_layer("conv_2").kernel_size == (1, 1)
    # No stem: there are convolutions before this model.
    assert student.get_layer("again").get_layer("only_spatial").groups == 2
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
    student.compile("sgd", "mse")
    student.fit(x, np.ones((4, 2)), verbose=0)


class OwnModel(keras.Model):
    def __init__(self, name):
        super().__init__(name=name)
        self.convolution = layers.Conv2D(4, 3)

    def call(self, x):
        return self.convolution(x)

    def get_config(self):
        return {"name": self.name}


def test_models_of_ones_own_and_functions():
    """What no graph tells of is as it was; names of functions tell Keras nothing."""
    image = keras.Input((10, 10, 3))
    x = OwnModel(name="own")(layers.Conv2D(4, 3)(image))
    double = layers.Conv2D(4, 3, activation=lambda x: 2 * x, name="double")
    model = keras.Model(image, double(layers.Lambda(lambda x: x + 1)(x)))
    student = moonshine(model, groups=2)
    assert isinstance(student.get_layer("own"), OwnModel)
    assert student.get_layer("own") is not model.get_layer("own")
    assert student.get_layer("double").activation is double.activation
    assert student.get_layer("double").kernel_size == (1, 1)
    assert student(np.ones((1, 10, 10, 3))).shape == (1, 4, 4, 4)


def test_a_frozen_teacher():
    """As its teacher, it would learn nothing."""
    model = residual_net()
    model.trainable = False
    student = moonshine(model, groups=2)
    assert all(layer.trainable for layer in student.layers)
    assert not model.trainable
    assert not any(layer.trainable for layer in model.layers)


@pytest.mark.parametrize("is_inside", [False, True])
def test_what_adapt_has_learnt_is_kept(is_inside):
    """Images that are not normalized any more would be those of another task."""
    x = np.random.default_rng(0).normal(50, 9, (32, 8, 8, 1)).astype("float32")
    normalization = layers.Normalization()
    normalization.adapt(x)
    before = (
        [keras.Sequential([keras.Input((8, 8, 1)), normalization])]
        if is_inside
        else [normalization]
    )
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), *before, layers.Conv2D(4, 3), layers.Conv2D(4, 3, name="last")]
    )
    student = moonshine(model, groups=2)
    np.testing.assert_allclose(student.layers[1](x), model.layers[0](x), atol=1e-5)
    assert abs(np.mean(student.layers[1](x))) < 0.01


def test_parts_are_of_the_convolutions_kind():
    """Its dtype and the rules of its kernel hold for what stands for it."""
    image = keras.Input((8, 8, 4))
    ruled = layers.Conv2D(
        8,
        3,
        dtype="mixed_float16",
        kernel_regularizer="l2",
        kernel_constraint="non_neg",
        activity_regularizer="l1",
        name="ruled",
    )
    model = keras.Model(image, ruled(layers.Conv2D(4, 3)(image)))
    for settings in ({"groups": "depthwise"}, {"groups": 2, "bottleneck": 2}):
        student = moonshine(model, **settings)
        parts = [layer for layer in student.layers if layer.name.startswith("ruled")]
        assert {layer.dtype_policy.name for layer in parts} == {"mixed_float16"}
        spatial = student.get_layer("ruled_spatial")
        kind = "depthwise" if settings["groups"] == "depthwise" else "kernel"
        assert isinstance(getattr(spatial, f"{kind}_regularizer"), keras.regularizers.L2)
        assert isinstance(getattr(spatial, f"{kind}_constraint"), keras.constraints.NonNeg)
        assert spatial.activity_regularizer is None
        # Of 4 kernels at most, and of one output.
        student(np.ones((1, 8, 8, 4)))
        assert len(student.losses) == 1 + len([p for p in parts if hasattr(p, "kernel")])


def test_channels_first_and_three_axes():
    image = keras.Input((4, 8, 8))
    plain = {"padding": "same", "data_format": "channels_first"}
    model = keras.Model(
        image, layers.Conv2D(8, 3, name="b", **plain)(layers.Conv2D(6, 3, **plain)(image))
    )
    for settings in ({"groups": 3}, {"bottleneck": 2}, {"groups": "depthwise"}):
        student = moonshine(model, **settings)
        assert student.output_shape == (None, 8, 8, 8)
        assert student.get_layer("b_spatial_normalization").axis == 1
    video = keras.Input((4, 8, 8, 2))
    model = keras.Model(video, layers.Conv3D(4, 3, name="b")(layers.Conv3D(4, 2)(video)))
    for settings in ({"bottleneck": 2}, {"groups": "depthwise"}):
        student = moonshine(model, **settings)
        assert student.get_layer("b_spatial").kernel_size == (3, 3, 3)
        assert student.output_shape == model.output_shape
    assert moonshine(model, bottleneck=2)(np.ones((1, 4, 8, 8, 2))).shape == (1, 1, 5, 5, 4)


def test_resnet8(shared):
    path = shared / "models" / "cifar10_resnet8" / "pretrainedResnet.h5"
    model = keras.models.load_model(path, compile=False)
    student = moonshine(model, groups=4)
    # Six convolutions of nine; the stem and two of 1 x 1 stay.
    assert sum(layer.name.endswith("_spatial") for layer in student.layers) == 6
    assert student.count_params() < 0.4 * model.count_params()
    for layer in model.layers:
        assert student.get_layer(layer.name).output.shape == layer.output.shape


class TestBad:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({}, "One of groups and bottleneck must be more than 1"),
            ({"groups": 0}, "groups must be an integer"),
            ({"groups": 3}, r"groups must divide the 8 channels of the \(3, 3\) .* 'plain'"),
            ({"bottleneck": 3}, "bottleneck must divide the number of filters of 'plain', 8"),
            ({"bottleneck": 2, "groups": 3}, "groups must divide the 4 channels"),
        ],
    )
    def test_settings(self, settings, message):
        with pytest.raises(ValueError, match=message):
            moonshine(residual_net(), **settings)

    def test_nothing_to_replace(self):
        """A student that is its teacher would be trained for nothing."""
        image = keras.Input((8, 8, 3))
        model = keras.Model(image, layers.Conv2D(4, 1)(layers.Conv2D(4, 3)(image)))
        with pytest.raises(ValueError, match="a convolution of more than 1 x 1 behind the first"):
            moonshine(model, groups=2)

    def test_subclassed(self):
        class Subclassed(keras.Model):
            def call(self, x):
                return x

        for model in (Subclassed(), keras.Sequential([layers.Dense(2)])):
            with pytest.raises(ValueError, match="model must be a Functional"):
                moonshine(model, groups=2)
