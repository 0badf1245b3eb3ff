"""Imitation inside boxes against loops over boxes and cells."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import Objective
from keras_distill.losses import RegionMSE

SHAPE = (5, 6, 4, 3)
# Of the example's images: a plain box, one inside a single cell, the whole image and more, two
# with a common part, none at all; -1 and 0 are padding.
BOXES = np.array(
    [
        [[0.1, 0.2, 0.6, 0.9], [-1, -1, -1, -1]],
        [[0.3, 0.4, 0.31, 0.41], [0, 0, 0, 0]],
        [[-0.5, -0.5, 1.5, 1.5], [0.9, 0.4, 0.2, 0.6]],
        [[0.0, 0.0, 0.5, 0.5], [0.3, 0.3, 0.95, 0.95]],
        [[0, 0, 0, 0], [1.2, 0.1, 1.4, 0.9]],
    ],
    "float32",
)


def cells_of(box, height, width):
    """The cells of a map that a relative xyxy box overlaps."""
    left, top, right, bottom = np.float64(box)

    def overlaps(start, end, i, size):
        return end > start and min(end, (i + 1) / size) > max(start, i / size)

    return [
        (i, j)
        for i in range(height)
        for j in range(width)
        if overlaps(top, bottom, i, height) and overlaps(left, right, j, width)
    ]


def expected_of(teacher, student, boxes):
    """Values, and the gradient of their sum, in float64."""
    teacher, student = (np.asarray(z, "float64") for z in (teacher, student))
    num_examples, height, width, num_features = student.shape
    values, gradient = np.zeros(num_examples), np.zeros(student.shape)
    for example in range(num_examples):
        found = [cells_of(box, height, width) for box in boxes[example]]
        found = [cells for cells in found if cells]
        for cells in found:
            share = 1 / (len(found) * len(cells) * num_features)
            for cell in cells:
                difference = student[example][cell] - teacher[example][cell]
                values[example] += share * np.sum(difference**2)
                gradient[example][cell] += 2 * share * difference
    return values, gradient


def loss_of(boxes=BOXES, **settings):
    return RegionMSE(reduction=None, **settings).for_batch(labels=boxes)


@pytest.mark.parametrize("limit", [1.0, 50.0, 1000.0])
def test_value_and_gradient_are_exact(limit):
    """Rows and columns change places easily, and a small object could lose its only cell."""
    teacher, student = uniform(limit, SHAPE)
    expected, expected_gradient = expected_of(teacher, student, BOXES)
    assert np.all(expected[:4] > 0)
    values, gradient = run(loss_of(), teacher, student)
    assert values.shape == (5,)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6
    # Cells outside of the boxes, and an image without a box.
    np.testing.assert_array_equal(np.asarray(gradient) == 0, expected_gradient == 0)
    assert float(values[4]) == 0


@pytest.mark.parametrize(
    ("bounding_box_format", "from_corners"),
    [
        ("xyxy", lambda x, y, u, v: (x, y, u, v)),
        ("yxyx", lambda x, y, u, v: (y, x, v, u)),
        ("xywh", lambda x, y, u, v: (x, y, u - x, v - y)),
        ("center_xywh", lambda x, y, u, v: ((x + u) / 2, (y + v) / 2, u - x, v - y)),
        ("center_yxhw", lambda x, y, u, v: ((y + v) / 2, (x + u) / 2, v - y, u - x)),
    ],
)
def test_formats(bounding_box_format, from_corners):
    """Boxes in another format than said cover other cells, and nothing fails."""
    teacher, student = uniform(5.0, SHAPE)
    expected, _ = expected_of(teacher, student, BOXES)
    boxes = np.stack(from_corners(*np.moveaxis(BOXES, -1, 0)), axis=-1)
    values = loss_of(boxes, bounding_box_format=f"rel_{bounding_box_format}")(teacher, student)
    assert norm_error(values, expected) < 1e-6
    # 90 pixels high, 160 wide.
    scale = [90, 160] if bounding_box_format in ("yxyx", "center_yxhw") else [160, 90]
    loss = loss_of(
        boxes * np.tile(np.float32(scale), 2),
        bounding_box_format=bounding_box_format,
        image_size=(90, 160),
    )
    assert norm_error(loss(teacher, student), expected) < 1e-6


def test_edges_in_pixels_are_exact():
    """20 / 60 * 6 is no 2 in float32: a box that ends where a cell begins would touch it."""
    teacher, student = uniform(5.0, (1, 6, 6, 2))
    for start in range(6):
        for end in range(start + 1, 7):
            box = np.array([[[start * 10, 0, end * 10, 60]]])
            loss = loss_of(box, bounding_box_format="xyxy", image_size=[60, 60])
            expected = np.mean(np.square(teacher - student)[:, :, start:end])
            np.testing.assert_allclose(loss(teacher, student), [expected], rtol=1e-5)


def test_zero_at_the_teacher_whatever_is_outside():
    """The background is free."""
    teacher, _ = uniform(5.0, SHAPE)
    student = teacher.copy()
    student[0, :, 3] += 100
    values, gradient = run(loss_of(), teacher, student)
    assert not np.any(values)
    assert not np.any(gradient)


def test_each_box_counts_the_same():
    """Else the largest object of an image takes it all; padding is no object."""
    teacher, student = np.zeros((1, 4, 4, 1)), np.ones((1, 4, 4, 1))
    student[0, 3, 3] = 2
    large, small, none = [0, 0, 0.75, 0.75], [0.8, 0.8, 0.9, 0.9], [0.5, 0.5, 0.5, 0.9]
    for boxes in ([large, small], [large, small, none, none], [none, small, large]):
        assert float(loss_of(np.array([boxes]))(teacher, student)[0]) == pytest.approx(2.5)


def test_sample_weights():
    """An image counts as much as it does for the labels."""
    teacher, student = uniform(5.0, SHAPE)
    expected, _ = expected_of(teacher, student, BOXES)
    weights = np.array([1.0, 0.0, 2.0, 0.5, 1.0])
    loss = RegionMSE().for_batch(labels=BOXES)
    assert float(loss(teacher, student, weights)) == pytest.approx(
        np.mean(weights * expected), rel=1e-6
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    """The square of 1000 is inf in float16."""
    teacher, student = (tf.cast(x, dtype) for x in uniform(1000.0, SHAPE))
    exact = [tf.cast(x, "float64").numpy() for x in (teacher, student)]
    values, gradient = run(loss_of(), teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected_of(*exact, BOXES)[0]) < 1e-6
    assert gradient.dtype == dtype


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_function_of_any_batch(jit_compile):
    """As fit() traces it, with images of any size; an empty batch counts 0."""
    features, loss = tf.TensorSpec((None, None, None, 3)), RegionMSE()
    boxes = tf.TensorSpec((None, None, 4))

    @tf.function(input_signature=[features, features, boxes], jit_compile=jit_compile)
    def traced(teacher, student, boxes):
        return run(loss.for_batch(labels=boxes), teacher, student)

    teacher, student = uniform(5.0, SHAPE)
    expected, expected_gradient = expected_of(teacher, student, BOXES)
    value, gradient = traced(teacher, student, BOXES)
    assert float(value) == pytest.approx(np.mean(expected), rel=1e-6)
    assert norm_error(gradient, expected_gradient / 5) < 1e-6
    empty = np.zeros((0, 6, 4, 3), "float32")
    assert float(traced(empty, empty, BOXES[:0])[0]) == 0
    # No boxes in the whole batch.
    assert float(traced(teacher, student, BOXES[:, :0])[0]) == 0
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        traced(teacher, student, BOXES[:1])


def test_teacher_gets_no_gradient():
    """Both models would meet at nothing."""
    teacher, student = (tf.Variable(x) for x in uniform(2.0, SHAPE))
    with tf.GradientTape() as tape:
        value = RegionMSE().for_batch(labels=BOXES)(teacher, student)
    assert tape.gradient(value, teacher) is None


def convolutions(width, name):
    inputs = keras.Input((12, 8, 1))
    x = keras.layers.Conv2D(width, 3, strides=2, padding="same", name="map")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(2)(x), name=name)


def distiller_of(loss=None):
    keras.utils.set_random_seed(0)
    objective = Objective(
        loss or RegionMSE(), teacher_layer="map", student_layer="map", projector="auto"
    )
    distiller = Distiller(
        student=convolutions(2, "student"),
        teacher=convolutions(3, "teacher"),
        alpha=1,
        objectives=[objective],
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(0.0), loss)
    return distiller


@pytest.mark.long_but_first
@pytest.mark.parametrize("as_dataset", [False, True])
def test_boxes_come_with_the_inputs(as_dataset):
    """y has the classes: taken for boxes, it would train something."""
    distiller = distiller_of()
    images, y = uniform(1.0, (5, 12, 8, 1))[0], np.array([0, 1, 0, 1, 0])
    x = DistillationInputs(images, labels=BOXES)
    data = [tf.data.Dataset.from_tensor_slices((x, y)).batch(5)] if as_dataset else [x, y]
    fitted = distiller.fit(*data, batch_size=None if as_dataset else 5, shuffle=False, verbose=0)
    maps = [
        keras.Model(model.input, model.get_layer("map").output)(images)
        for model in (distiller.teacher, distiller.student)
    ]
    expected, _ = expected_of(maps[0], distiller.objectives[0].projector(maps[1]), BOXES)
    assert fitted.history["region_mse"] == [pytest.approx(np.mean(expected), rel=1e-5)]


def test_round_trip():
    """Read back as another format, the boxes cover other cells."""
    loss = RegionMSE("yxyx", image_size=(90, 160), name="boxes")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.get_config() == loss.get_config()
    assert (restored.bounding_box_format, restored.image_size) == ("yxyx", (90, 160))


class TestBadInput:
    @pytest.mark.parametrize("name", ["xyxz", "rel_", None, "REL_xyxy"])
    def test_format(self, name):
        """Keras would say so in the first step only."""
        with pytest.raises(ValueError, match=r"bounding_box_format must be one of .* Received: b"):
            RegionMSE(name)

    @pytest.mark.parametrize(("name", "size"), [("xyxy", None), ("rel_xyxy", (8, 8))])
    def test_image_size_and_format_disagree(self, name, size):
        """Boxes in pixels taken for relative ones cover the whole image."""
        with pytest.raises(
            ValueError, match=r"image_size must be the height and width of the imag"
        ):
            RegionMSE(name, image_size=size)

    @pytest.mark.parametrize("size", [8, (8,), (8, 8, 3)])
    def test_image_size(self, size):
        """A shape with channels is no size."""
        with pytest.raises(ValueError, match="image_size must be a pair of integers of 1"):
            RegionMSE("xyxy", image_size=size)

    @pytest.mark.parametrize("size", [(0, 8), (8, 2.5), (8, None)])
    def test_sizes(self, size):
        """All cells would be outside."""
        with pytest.raises(ValueError, match="image_size must be a pair of integers of 1"):
            RegionMSE("xyxy", image_size=size)

    def test_features_without_positions(self):
        """A pooled layer has no place for a box."""
        with pytest.raises(ValueError, match=r"RegionMSE compares feature maps.*Received"):
            loss_of()(np.ones((5, 3)), np.ones((5, 3)))

    @pytest.mark.parametrize("shape", [(5,), (5, 4), (5, 2, 5), (1, 2, 4)])
    def test_boxes_of_another_shape(self, shape):
        """Classes as labels, or boxes with a class behind."""
        with pytest.raises(ValueError, match=r"RegionMSE needs boxes .* Received: labels"):
            loss_of(np.ones(shape))(np.ones(SHAPE), np.ones(SHAPE))

    def test_no_boxes(self):
        """Nobody would say why a None has no shape."""
        with pytest.raises(ValueError, match=r"RegionMSE needs the labels of its output"):
            RegionMSE()(np.ones(SHAPE), np.ones(SHAPE))

    def test_classes_as_y_of_a_distiller(self):
        """Said before the first step."""
        x = uniform(1.0, (5, 12, 8, 1))[0]
        with pytest.raises(ValueError, match=r"RegionMSE needs boxes .* DistillationInputs"):
            distiller_of().fit(x, np.zeros(5, "int32"), verbose=0)
