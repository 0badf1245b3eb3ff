"""Feature maps with the channels first reach every loss and projector with the channels last.

TensorFlow convolves with the channels first on GPUs only, so these models have other layers
that know of a data_format.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from keras import ops

from keras_distill import Distiller
from keras_distill import Objective
from keras_distill import TeacherStore
from keras_distill import losses
from keras_distill._keras.channel_axis import channels_last
from keras_distill.distillation.taps import Taps

SIZE, CHANNELS = (4, 6), 3
IMAGES = np.random.default_rng(0).normal(size=(8, *SIZE, CHANNELS)).astype("float32")


def block(x, number, width):
    return layers.Activation("relu", name=f"relu_{number}")(
        layers.Dense(width, name=f"dense_{number}")(x)
    )


def last(width=5, name=None):
    inputs = keras.Input((*SIZE, CHANNELS))
    x = block(inputs, 1, width)
    x = layers.AveragePooling2D(2, name="pooled", data_format="channels_last")(x)
    return keras.Model(inputs, block(x, 2, width), name=name)


def first(width=5, name=None):
    """The same functions, but between the blocks the channels are first."""
    inputs = keras.Input((*SIZE, CHANNELS))
    x = layers.Permute((3, 1, 2))(block(inputs, 1, width))
    x = layers.AveragePooling2D(2, name="pooled", data_format="channels_first")(x)
    x = layers.Permute((2, 3, 1), name="back")(layers.Dropout(0.0, name="dropout")(x))
    x = layers.Permute((3, 1, 2))(block(x, 2, width))
    return keras.Model(inputs, layers.Activation("linear", name="end")(x), name=name)


def pair(make_teacher, make_student, width=5):
    models = []
    for seed, (make, w, name) in enumerate(
        [(make_teacher, 5, "teacher"), (make_student, width, "student")]
    ):
        keras.utils.set_random_seed(seed)
        models.append(make(w, name))
    return models


LOSSES = {
    "AttentionTransfer": losses.AttentionTransfer,
    "NeuronSelectivity": losses.NeuronSelectivity,
    "FeatureCosine": losses.FeatureCosine,
    "MaskedGenerative": lambda: losses.MaskedGenerative(seed=0),
    "FSP": losses.FSP,
}


def value(teacher, student, path, make_loss, **kwargs):
    keras.utils.set_random_seed(5)
    loss = make_loss()
    paths = [path, "output"] if loss.takes_lists else path
    distiller = Distiller(
        student=student,
        teacher=teacher,
        alpha=1.0,
        objectives=[Objective(loss, teacher_layer=paths, student_layer=paths, name="o", **kwargs)],
        validate_with_teacher=True,
    )
    distiller.compile(run_eagerly=True)
    return distiller.test_on_batch(IMAGES, return_dict=True)["o"]


@pytest.mark.long_but_first
@pytest.mark.parametrize("name", LOSSES)
def test_losses_read_the_channels(name):
    expected = value(*pair(last, last), "pooled", LOSSES[name])
    for kinds in ((first, first), (first, last)):
        models = pair(*kinds)
        assert value(*models, "pooled", LOSSES[name]) == pytest.approx(expected, rel=1e-5), kinds


def test_projectors_read_the_channels():
    for make in (
        lambda: "auto",
        lambda: layers.Conv2D(5, 1, kernel_initializer="ones", data_format="channels_last"),
    ):
        values = [
            value(*pair(*kinds, width=2), "pooled", losses.FeatureMSE, projector=make())
            for kinds in ((last, last), (first, first))
        ]
        assert values[1] == pytest.approx(values[0], rel=1e-5)
    with pytest.raises(ValueError, match=r"channels last.*'conv2d.*data_format='channels_first'"):
        Objective(
            losses.FeatureMSE(),
            teacher_layer="pooled",
            student_layer="pooled",
            projector=keras.Sequential([layers.Conv2D(5, 1, data_format="channels_first")]),
        )


def test_soft_losses_read_the_classes():
    values = []
    for kinds in ((last, last), (first, first), (first, last)):
        teacher, student = pair(*kinds)
        soft = losses.SoftTargetKL(2.0, teacher_from_logits=True, student_from_logits=True)
        distiller = Distiller(
            student=student, teacher=teacher, alpha=0.0, soft_loss=soft, validate_with_teacher=True
        )
        distiller.compile(run_eagerly=True)
        values.append(distiller.test_on_batch(IMAGES, return_dict=True)["soft_loss"])
    np.testing.assert_allclose(values, values[0], rtol=1e-5)


def test_stores_hold_channels_last(tmp_path):
    kept, images = [], tf.data.Dataset.from_tensor_slices(IMAGES)
    for make in (last, first):
        teacher, _ = pair(make, last)
        folder = tmp_path / make.__name__
        store = TeacherStore.build(images, teacher, folder, taps=["pooled", "output"])
        x = next(iter(store.attach(images.batch(8))))
        kept.append(x.teacher_outputs)
    for key in ("pooled", "output"):
        np.testing.assert_allclose(kept[1][key], kept[0][key], atol=1e-3)


CASES = {
    "transpose": lambda x: ops.transpose(x, (0, 2, 3, 1)),
    "moveaxis": lambda x: ops.moveaxis(x, 1, -1),
    "swapped": lambda x: ops.swapaxes(ops.swapaxes(x, 1, 2), 2, 3),
    "permute": layers.Permute((2, 3, 1)),
    "activation": layers.ReLU(),
    "norm": layers.BatchNormalization(axis=1),
    "joined": lambda x: layers.Concatenate(axis=1)([x, x]),
    "tokens": layers.Reshape((CHANNELS, -1)),
    "model": keras.Sequential([keras.Input((CHANNELS, *SIZE)), layers.ReLU()]),
    "dense": layers.Dense(7),
}


@pytest.mark.parametrize("case", CASES)
def test_the_axis_is_followed(case):
    inputs = keras.Input((CHANNELS, *SIZE))
    x = layers.UpSampling2D(1, data_format="channels_first")(inputs)
    x = CASES[case](x)
    model = keras.Model(inputs, layers.Activation("linear", name="tapped")(x))
    taps = Taps(model, ["tapped", "output"])
    with taps.record() as recording:
        outputs = model(np.moveaxis(IMAGES, -1, 1))
    found = taps.activations(recording, outputs)
    expected = {"joined": 2 * CHANNELS, "dense": 7}.get(case, CHANNELS)
    for path in ("tapped", "output"):
        assert found[path].shape[-1] == expected
        assert case == "dense" or found[path].shape[1] != CHANNELS


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.pooled = layers.AveragePooling2D(2, name="pooled", data_format="channels_first")
        self.hidden = layers.ReLU(name="hidden")
        self.dense = layers.Dense(2, name="dense")

    def call(self, x):
        return self.dense(ops.transpose(self.hidden(self.pooled(x)), (0, 2, 3, 1)))


def test_subclassed_models_say_it_by_their_layers():
    model = Subclassed()
    images = np.moveaxis(IMAGES, -1, 1)
    model(images)
    taps = Taps(model, ["pooled", "dense"])
    with taps.record() as recording:
        outputs = model(images)
    found = taps.activations(recording, outputs)
    assert found["pooled"].shape == (8, 2, 3, CHANNELS)
    assert found["dense"].shape == (8, 2, 3, 2)
    for path in ("hidden", "output"):
        taps = Taps(model, [path])
        with taps.record() as recording:
            outputs = model(images)
        with pytest.raises(ValueError, match="channels of a feature map must be known"):
            taps.activations(recording, outputs)


def gate_of_dense(maps):
    gate = layers.GlobalAveragePooling2D(data_format="channels_first")(maps)
    return layers.Reshape((6, 1, 1))(layers.Dense(6, "sigmoid")(gate))


def gate_of_convolutions(maps):
    gate = layers.GlobalAveragePooling2D(data_format="channels_first", keepdims=True)(maps)
    return layers.Conv2D(6, 1, activation="sigmoid", data_format="channels_first")(gate)


def gate_of_operations(maps):
    gate = layers.Dense(6)(ops.mean(maps, axis=(2, 3)))
    return ops.expand_dims(ops.expand_dims(ops.sigmoid(gate), -1), -1)


def gate_of_positions(maps):
    both = [ops.mean(maps, axis=1, keepdims=True), ops.max(maps, axis=1, keepdims=True)]
    joined = layers.Concatenate(axis=1)(both)
    return layers.Conv2D(1, 3, padding="same", data_format="channels_first")(joined)


@pytest.mark.parametrize(
    "make_gate", [gate_of_dense, gate_of_convolutions, gate_of_operations, gate_of_positions]
)
@pytest.mark.parametrize("size", [(6, 6), (6, 8)])
def test_a_gate_and_the_map_that_it_weighs(make_gate, size):
    """Squeeze and excitation: its channels were last before it got the axes of the map."""
    image = keras.Input((3, *size))
    maps = layers.Conv2D(6, 3, padding="same", data_format="channels_first")(image)
    gate = make_gate(maps)
    for product in (
        layers.Multiply()([gate, maps]),
        layers.Multiply()([maps, gate]),
        gate * maps,
        ops.where(maps > 0, gate * maps, maps),
        layers.ReLU()(layers.Add()([ops.multiply(gate, maps), maps])),
    ):
        assert_first_is_moved(image, product)
    if make_gate is not gate_of_positions:
        assert_first_is_moved(image, gate)


def test_maps_that_are_cut_or_padded():
    image = keras.Input((3, 6, 8))
    maps = layers.Conv2D(6, 3, padding="same", data_format="channels_first")(image)
    for part in (
        maps[:, :, ::2, 1:],
        maps[..., 1:3],
        ops.pad(maps, ((0, 0), (0, 0), (1, 1), (2, 0))),
    ):
        assert_first_is_moved(image, part)


def assert_first_is_moved(image, output):
    shape = (2, *output.shape[1:])
    values = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    found = channels_last(tf.constant(values), keras.Model(image, output), [output])
    np.testing.assert_array_equal(found, np.moveaxis(values, 1, -1))


def test_maps_of_two_kinds_joined():
    """Of one shape, but one has its channels first and one last: nothing says which is right."""
    image = keras.Input((6, 6, 6))
    first = layers.Conv2D(6, 3, padding="same", data_format="channels_first")(image)
    last = layers.Conv2D(6, 3, padding="same", data_format="channels_last")(image)
    total = first + last
    with pytest.raises(ValueError, match="channels of a feature map must be known"):
        channels_last(tf.zeros((2, 6, 6, 6)), keras.Model(image, total), [total])
