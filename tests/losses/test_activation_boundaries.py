"""Losses on features before a ReLU, against their formulas entry by entry."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform
from scipy import integrate

from keras_distill.losses import ActivationBoundaries
from keras_distill.losses import FeatureOverhaul

MARGIN = 0.7
MARGINS = [-0.1, -0.5, -1.0, -3.0, 0.0]


def boundaries(teacher, student):
    """Value and slope by the student, of one entry."""
    if teacher > 0:
        return max(0.0, MARGIN - student) ** 2, -2 * max(0.0, MARGIN - student)
    return max(0.0, MARGIN + student) ** 2, 2 * max(0.0, MARGIN + student)


def overhaul(teacher, student, margin):
    target = teacher if teacher > margin else margin
    if target <= 0 and student <= target:
        return 0.0, 0.0
    return (target - student) ** 2, 2 * (student - target)


def expected_of(loss, teacher, student):
    """Unreduced values, and the gradient of their sum, in float64."""
    teacher, student = (np.asarray(x, "float64") for x in (teacher, student))
    width = teacher.shape[-1]
    values, gradient = np.zeros(teacher.shape), np.zeros(teacher.shape)
    for place in np.ndindex(teacher.shape):
        entry = teacher[place], student[place]
        if isinstance(loss, ActivationBoundaries):
            values[place], gradient[place] = boundaries(*entry)
        else:
            # The loss has it in float32.
            margin = float(np.float32(MARGINS[place[-1] % len(MARGINS)]))
            values[place], gradient[place] = overhaul(*entry, margin)
    return values.mean(axis=-1), gradient / width


def loss_of(loss_class, width=5):
    margins = MARGINS * (width // len(MARGINS))
    return loss_class(MARGIN if loss_class is ActivationBoundaries else margins, reduction=None)


every_loss = pytest.mark.parametrize("loss_class", [ActivationBoundaries, FeatureOverhaul])


@pytest.mark.parametrize("shape", [(32, 5), (4, 5, 10), (2, 3, 3, 5)])
@pytest.mark.parametrize("limit", [1.0, 5.0, 50.0, 1000.0])
@every_loss
def test_value_and_gradient_are_exact(loss_class, limit, shape):
    """A wrong side of one comparison would push half of the neurons the wrong way."""
    teacher, student = uniform(limit, shape)
    teacher.flat[::7] = 0
    loss = loss_of(loss_class, shape[-1])
    expected, expected_gradient = expected_of(loss, teacher, student)
    values, gradient = run(loss, teacher, student)
    assert values.shape == shape[:-1]
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_loss
def test_half_precision_features(loss_class, dtype):
    """The square of 1000 is inf in float16."""
    teacher, student = (tf.cast(x, dtype) for x in uniform(1000.0, (8, 5)))
    loss = loss_of(loss_class)
    exact = [tf.cast(x, "float64").numpy() for x in (teacher, student)]
    expected, expected_gradient = expected_of(loss, *exact)
    values, gradient = run(loss, teacher, student)
    assert values.dtype == "float32"
    assert norm_error(values, expected) < 1e-6
    assert gradient.dtype == dtype
    assert norm_error(gradient, expected_gradient) < {"float16": 1e-3, "bfloat16": 4e-3}[dtype]


@every_loss
def test_compiled_by_xla(loss_class):
    """The same number where XLA fuses the operations."""
    teacher, student = uniform(2.0, (8, 5))
    loss = loss_of(loss_class)
    compiled = tf.function(lambda t, s: run(loss, t, s), jit_compile=True)
    values, gradient = compiled(tf.constant(teacher), tf.constant(student))
    expected, expected_gradient = expected_of(loss, teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


class TestActivationBoundaries:
    def test_zero_beyond_the_margin_of_the_teachers_side(self):
        """How far the teacher is from 0 does not matter: the paper's point."""
        teacher = np.array([[1e-3, -1e-3, 0.0, 100.0]], "float32")
        student = np.array([[1.0, -1.0, -1.0, 5.0]], "float32")
        values, gradient = run(ActivationBoundaries(reduction=None), teacher, student)
        assert float(values[0]) == 0
        assert not np.any(gradient)

    def test_within_the_margin_or_on_the_other_side(self):
        """On the boundary itself the loss is the margin's square, and its gradient is not 0."""
        teacher, student = np.array([[3.0], [-3.0], [3.0]]), np.array([[0.0], [0.0], [-1.0]])
        values, gradient = run(ActivationBoundaries(reduction=None), teacher, student)
        np.testing.assert_array_equal(values, [1, 1, 4])
        np.testing.assert_array_equal(gradient, [[-2], [2], [-4]])

    def test_strength_of_the_teacher_does_not_matter(self):
        """Only its sign does."""
        teacher, student = uniform(2.0, (8, 5))
        loss = ActivationBoundaries(reduction=None)
        np.testing.assert_array_equal(loss(teacher, student), loss(50 * teacher, student))

    @pytest.mark.parametrize("margin", [0, -1.0, float("nan"), float("inf"), True, "1", None])
    def test_margin_out_of_range(self, margin):
        """Without a margin all features 0 would be a perfect student."""
        with pytest.raises(ValueError, match="margin must be a positive finite number"):
            ActivationBoundaries(margin)


class TestFeatureOverhaul:
    def test_zero_at_the_teacher(self):
        """Also where the teacher is below the margin."""
        teacher, _ = uniform(5.0, (8, 5))
        values, gradient = run(loss_of(FeatureOverhaul), teacher, teacher)
        assert not np.any(values)
        assert not np.any(gradient)

    def test_no_penalty_where_both_are_low(self):
        """A ReLU passes neither: the student may be as low as it likes, below the target."""
        teacher = np.array([[-0.2, -9.0, -9.0]], "float32")
        student = np.array([[-0.3, -0.5, -50.0]], "float32")
        values, gradient = run(FeatureOverhaul(-0.5, reduction=None), teacher, student)
        assert float(values[0]) == 0
        assert not np.any(gradient)

    def test_penalty_above_the_margin(self):
        """Negative, but not negative enough: to the margin and no further."""
        teacher, student = np.array([[-9.0]]), np.array([[-0.25]])
        values, gradient = run(FeatureOverhaul(-0.5, reduction=None), teacher, student)
        assert float(values[0]) == 0.0625
        assert float(gradient[0, 0]) == 0.5

    def test_positive_teacher_is_met_from_both_sides(self):
        """Partial is the distance only where the teacher is negative."""
        teacher, student = np.array([[2.0], [2.0]]), np.array([[1.0], [3.0]])
        np.testing.assert_array_equal(FeatureOverhaul(-1, reduction=None)(teacher, student), [1, 1])

    @pytest.mark.parametrize(
        "margin", [0.1, [-1.0, 0.1], float("nan"), -float("inf"), [], True, "0", None, [None]]
    )
    def test_margin_out_of_range(self, margin):
        """A positive one would forbid small responses."""
        message = "margin must be a finite number of at most 0, or a list of one for each"
        with pytest.raises(ValueError, match=message) as error:
            FeatureOverhaul(margin)
        assert f"Received: margin={margin!r}" in str(error.value)

    def test_margins_of_another_layer(self):
        """One margin would broadcast over five features."""
        with pytest.raises(ValueError, match=r"Received: 1 numbers and a teacher of shape \(2, 5"):
            FeatureOverhaul([-1.0])(np.ones((2, 5)), np.ones((2, 5)))

    @pytest.mark.parametrize(
        "margin", [-0.5, MARGINS, tuple(MARGINS)], ids=["number", "list", "tuple"]
    )
    def test_round_trip(self, margin):
        """A reloaded Distiller goes on with the same margins."""
        loss = FeatureOverhaul(margin, name="mine")
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
        restored = keras.saving.deserialize_keras_object(config)
        teacher, student = uniform(5.0, (8, 5))
        assert float(restored(teacher, student)) == float(loss(teacher, student))
        assert json.dumps(restored.get_config()) == json.dumps(loss.get_config())


def mean_of_negatives(mean, deviation):
    """By integrals of the normal density over the negative numbers."""

    def density(x):
        return math.exp(-((x - mean) ** 2) / (2 * deviation**2))

    borders = {"points": [mean], "epsabs": 0, "limit": 200} if mean < 0 else {"epsabs": 0}
    lowest = min(mean, 0) - 12 * deviation
    return (
        integrate.quad(lambda x: x * density(x), lowest, 0, **borders)[0]
        / integrate.quad(density, lowest, 0, **borders)[0]
    )


class TestFromBatchNormalization:
    def normalization(self, beta, gamma, **settings):
        layer = keras.layers.BatchNormalization(**settings)
        layer.build((None, len(beta)))
        if layer.center:
            layer.beta.assign(beta)
        if layer.scale:
            layer.gamma.assign(gamma)
        return layer

    def test_against_integrals(self):
        """The density over the share of negatives: a sign astray and margins are positive."""
        beta = np.array([0.0, 0.5, -0.5, 2.0, -2.0, 3.0, -4.0, 0.25], "float32")
        gamma = np.array([1.0, 0.5, 2.0, -1.0, -0.5, 0.5, 1.0, 3.0], "float32")
        loss = FeatureOverhaul.from_batch_normalization(self.normalization(beta, gamma))
        expected = [mean_of_negatives(float(b), abs(float(g))) for b, g in zip(beta, gamma)]
        np.testing.assert_allclose(loss.margin, expected, rtol=1e-9)
        assert loss.margin[0] == pytest.approx(-math.sqrt(2 / math.pi))

    def test_against_a_sample(self):
        """The mean of the negative outputs is what the margin stands for."""
        layer = self.normalization([0.3, -1.0], [1.5, 0.5])
        outputs = layer(np.random.default_rng(0).normal(size=(200_000, 2))).numpy()
        expected = [column[column < 0].mean() for column in outputs.T]
        loss = FeatureOverhaul.from_batch_normalization(layer)
        np.testing.assert_allclose(loss.margin, expected, rtol=0.01)

    def test_channels_that_are_all_positive_or_constant(self):
        """0 / 0 would be NaN: of the share of negatives, or of the deviation."""
        beta, gamma = [50.0, 1e4, 3.0, -3.0, 0.0, -1e4], [1.0, 1e-3, 0.0, 0.0, 0.0, 1e-3]
        loss = FeatureOverhaul.from_batch_normalization(self.normalization(beta, gamma))
        np.testing.assert_allclose(loss.margin[1:], [0, 0, -3, 0, -1e4], atol=1e-4)
        assert -0.05 < loss.margin[0] < 0

    @pytest.mark.parametrize("settings", [{"scale": False}, {"center": False}], ids=str)
    def test_without_scale_or_centre(self, settings):
        """Such a layer has one of the parameters only: the other is 1, or 0."""
        layer = self.normalization([0.5, -0.5], [2.0, 3.0], **settings)
        loss = FeatureOverhaul.from_batch_normalization(layer)
        pairs = [(0.5, 1), (-0.5, 1)] if "scale" in settings else [(0, 2), (0, 3)]
        np.testing.assert_allclose(loss.margin, [mean_of_negatives(*p) for p in pairs], rtol=1e-9)

    def test_settings(self):
        """They are the other arguments."""
        layer = self.normalization([0.5], [2.0])
        loss = FeatureOverhaul.from_batch_normalization(layer, name="mine", reduction="sum")
        assert (loss.name, loss.reduction) == ("mine", "sum")

    @pytest.mark.parametrize("is_built", [False, None])
    def test_other_layers(self, is_built):
        """Of an unbuilt layer, gamma and beta would be those of its first day."""
        layer = keras.layers.Dense(2) if is_built is None else keras.layers.BatchNormalization()
        with pytest.raises(ValueError, match=r"layer must be a built keras\.layers\.BatchNorm"):
            FeatureOverhaul.from_batch_normalization(layer)
