import keras
import numpy as np
import pytest

from keras_distill import students


@pytest.mark.parametrize("depth", [2, 7])
@pytest.mark.parametrize("size", [30_000, 30_001, 41_234])
def test_cnns_of_equal_size_are_equal_within_two_percent(depth, size):
    """A width for all layers alike would miss the size of a deep net by several percent."""
    student = students.plain_cnn((16, 16, 3), 10, num_layers=depth, num_parameters=size)
    assert 0.98 * size < student.count_params() <= size
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in student.layers) == depth


@pytest.mark.parametrize(("depth", "bottleneck"), [(1, None), (1, 30), (6, None)])
def test_mlps_of_equal_size_are_equal_within_two_percent(depth, bottleneck):
    """The count that chooses the width must be the model's own, bottleneck and biases too."""
    student = students.mlp(
        (7, 8), 5, num_layers=depth, num_parameters=20_000, bottleneck_dim=bottleneck
    )
    assert 19_600 < student.count_params() <= 20_000


@pytest.mark.parametrize("build", [students.plain_cnn, students.mlp])
def test_it_is_the_widest(build):
    """One channel more in any layer would be too much; one parameter more may not matter."""
    student = build((8, 8, 2), 3, num_layers=3, num_parameters=4_000)
    size = student.count_params()
    again = build((8, 8, 2), 3, num_layers=3, num_parameters=size)
    assert again.count_params() == size
    assert build((8, 8, 2), 3, num_layers=3, num_parameters=size - 1).count_params() < size
    widths = [student.get_layer(f"hidden_{n}").output.shape[-1] for n in (1, 2, 3)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] - widths[-1] <= 1


def test_width_is_that_of_every_layer():
    student = students.plain_cnn((16, 16, 3), 10, num_layers=5, filters=6, num_stages=3)
    shapes = [student.get_layer(f"hidden_{n}").output.shape[1:] for n in range(1, 6)]
    assert shapes == [(16, 16, 6), (16, 16, 6), (8, 8, 6), (8, 8, 6), (4, 4, 6)]
    perceptron = students.mlp((4,), 2, num_layers=2, hidden_dim=9, bottleneck_dim=3)
    assert [w.shape for w in perceptron.weights[::2]] == [(4, 3), (3, 9), (9, 9), (9, 2)]


@pytest.mark.parametrize(
    ("student", "scale"),
    [
        (students.plain_cnn((8, 8, 1), 2, num_layers=4, filters=4), 255),
        (students.mlp((8, 8, 1), 2, num_layers=6, hidden_dim=16, bottleneck_dim=4), 1),
    ],
)
@pytest.mark.long
def test_deep_ones_learn(student, scale):
    """A stack without normalization, or badly initialized, would stay at chance."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    images = rng.uniform(0, 0.4, (64, 8, 8, 1)) + 0.5 * labels[:, None, None, None]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    history = student.fit(scale * images, labels, epochs=20, verbose=0).history
    assert history["accuracy"][-1] > 0.95


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": None}, "One of filters and num_parameters must be given"),
        ({"num_parameters": 900}, "One of filters and num_parameters must be given"),
        ({"filters": None, "num_parameters": 30}, "num_parameters must be 50 or more for 2 layers"),
        ({"filters": 0}, "filters must be an integer"),
        ({"num_layers": 0}, "num_layers must be an integer"),
        ({"num_layers": 1}, "num_stages must be at most num_layers.*=2, num_layers=1"),
        ({"num_stages": 4}, "of 16 pixels or more for 4 stages"),
        ({"input_shape": (8, 8)}, r"input_shape must be \(height"),
        ({"input_shape": 28}, r"input_shape must be \(height.*=28"),
        ({"input_shape": (28, 28, 0)}, r"input_shape must be \(height"),
        ({"input_shape": (None, None, 3)}, r"input_shape must be .*None, None, 3"),
    ],
)
def test_bad_cnn(settings, message):
    settings = {
        "input_shape": (8, 8, 3),
        "num_classes": 3,
        "num_layers": 2,
        "filters": 4,
    } | settings
    with pytest.raises(ValueError, match=message):
        students.plain_cnn(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_shape": (None, 3)}, "input_shape must be a tuple of integers"),
        ({"input_shape": 20}, "input_shape must be a tuple of integers"),
        ({"bottleneck_dim": 0}, "bottleneck_dim must be an integer"),
        ({"num_parameters": 10}, "One of hidden_dim and num_parameters"),
        ({"hidden_dim": None, "num_parameters": 10}, "num_parameters must be 12 or more"),
    ],
)
def test_bad_mlp(settings, message):
    settings = {"input_shape": (3,), "num_classes": 3, "num_layers": 2, "hidden_dim": 4} | settings
    with pytest.raises(ValueError, match=message):
        students.mlp(**settings)
