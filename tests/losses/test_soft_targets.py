"""The output losses against closed forms: values, gradients, extremes."""

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform
from scipy.special import expit
from scipy.special import rel_entr
from scipy.special import softmax

from keras_distill.losses import BinarySoftTargets
from keras_distill.losses import LogitsMSE
from keras_distill.losses import SoftTargetKL

SOFTENED = {
    SoftTargetKL: oracles.soft_target_kl,
    BinarySoftTargets: oracles.binary_soft_targets,
}
LIMITS = (5.0, 50.0, 1000.0)
TEMPERATURES = (0.5, 1.0, 4.0, 20.0)

every_softened_loss = pytest.mark.parametrize("loss_class", SOFTENED)
every_limit = pytest.mark.parametrize("limit", LIMITS)
every_temperature = pytest.mark.parametrize("temperature", TEMPERATURES)


@pytest.fixture
def float64():
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


@every_limit
@pytest.mark.parametrize("num_classes", [2, 10, 150])
@every_softened_loss
def test_value_and_gradient_are_exact(loss_class, num_classes, limit):
    """A lost T^2, a mean over the classes or a cancelled digit would only train worse."""
    teacher, student = uniform(limit, (32, num_classes))
    for temperature in TEMPERATURES:
        expected, expected_gradient = SOFTENED[loss_class](teacher, student, temperature)
        values, gradient = run(loss_class(temperature, reduction=None), teacher, student)
        assert values.dtype == "float32"
        assert norm_error(values, expected) < 1e-6, temperature
        assert norm_error(gradient, expected_gradient) < 1e-6, temperature


@every_limit
def test_logits_mse_is_exact(limit):
    """The mean over the classes, not the sum: alpha must not depend on their number."""
    teacher, student = uniform(limit, (32, 10))
    expected, expected_gradient = oracles.mean_squared_error(teacher, student)
    values, gradient = run(LogitsMSE(reduction=None), teacher, student)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


@every_limit
def test_single_logit(limit):
    """One logit is the pair (z, 0): halved or doubled logits would train just as quietly."""
    teacher, student = uniform(limit, (64, 1))
    pair = [np.concatenate([z, np.zeros_like(z)], axis=-1) for z in (teacher, student)]
    for temperature in TEMPERATURES:
        expected, expected_gradient = oracles.soft_target_kl(*pair, temperature)
        values, gradient = run(BinarySoftTargets(temperature, reduction=None), teacher, student)
        assert norm_error(values, expected) < 1e-6, temperature
        assert norm_error(gradient, expected_gradient[:, :1]) < 1e-6, temperature


@every_temperature
def test_kl_equals_scipy_rel_entr(temperature):
    """A second library: the oracle's own algebra could be wrong in the same way."""
    teacher, student = uniform(5.0, (32, 10), "float64")
    p, q = softmax(teacher / temperature, -1), softmax(student / temperature, -1)
    expected = temperature**2 * rel_entr(p, q).sum(-1)
    values = SoftTargetKL(temperature, reduction=None)(teacher, student)
    assert norm_error(values, expected) < 1e-6


def test_divergence_equals_keras_at_temperature_one():
    """A third: Keras's own loss, which takes probabilities."""
    teacher, student = uniform(5.0, (32, 10))
    p, q = softmax(teacher.astype("float64"), -1), softmax(student.astype("float64"), -1)
    expected = float(keras.losses.KLDivergence(dtype="float64")(p, q))
    assert float(SoftTargetKL(1.0)(teacher, student)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("num_classes", [2, 10, 150])
@pytest.mark.parametrize(("limit", "temperature"), [(50.0, 0.5), (50.0, 4.0), (1000.0, 4.0)])
def test_tiny_divergence_of_a_shared_argmax(num_classes, limit, temperature):
    """Two models that are both sure: sum p * (log p - log q) would round to 0 or below."""
    teacher, student = uniform(limit, (16, num_classes))
    winners = np.arange(16) % num_classes
    teacher[np.arange(16), winners] = limit
    student[np.arange(16), winners] = 1.2 * limit
    expected, _ = oracles.exact_soft_target_kl(teacher, student, temperature)
    values = SoftTargetKL(temperature, reduction=None)(teacher, student).numpy()
    assert (values >= 0).all()
    in_range = expected > 1e-30
    np.testing.assert_allclose(values[in_range], expected[in_range], rtol=1e-4)
    np.testing.assert_allclose(values[~in_range], 0, atol=2e-30)


@pytest.mark.parametrize(
    "shifts", [(0.0, 0.0), (1000.0, 1000.0), (0.0, 100.0)], ids=["plain", "both", "student"]
)
@pytest.mark.parametrize("distance", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize("num_classes", [2, 10, 150])
def test_student_that_almost_equals_its_teacher(num_classes, distance, shifts):
    """The end of every distillation: a divergence below 0, or a gradient that is noise."""
    temperature = 20.0
    teacher, noise = uniform(5.0, (8, num_classes), "float64")
    student = teacher + noise * distance / 5 + shifts[1]
    teacher, student = (teacher + shifts[0]).astype("float32"), student.astype("float32")
    expected, expected_gradient = oracles.exact_soft_target_kl(teacher, student, temperature)
    values, gradient = run(SoftTargetKL(temperature, reduction=None), teacher, student)
    assert (values.numpy() >= 0).all()
    np.testing.assert_allclose(values, expected, rtol=0.1, atol=1e-30)
    largest = np.abs(expected_gradient).max(axis=-1, keepdims=True)
    # The oracle's own last digit is no gradient.
    clear = np.abs(expected_gradient) > np.maximum(0.1 * largest, 1e-30)
    assert (np.sign(gradient)[clear] == np.sign(expected_gradient)[clear]).all()


@every_limit
@pytest.mark.parametrize("loss_class", [SoftTargetKL, BinarySoftTargets])
def test_equal_logits_give_zero_value_and_gradient(loss_class, limit):
    """Rounding noise at the optimum would keep pushing a student that has arrived."""
    logits, _ = uniform(limit, (32, 10))
    for temperature in TEMPERATURES:
        values, gradient = run(loss_class(temperature, reduction=None), logits, logits)
        assert not np.any(values), temperature
        assert not np.any(gradient), temperature


@every_temperature
def test_shift_of_the_logits_changes_nothing(temperature):
    """Softmax does not see a shift; a loss on unnormalised logits would."""
    # Multiples of 1/64, so that the shift itself does not round.
    teacher, student = np.round(uniform(5.0, (32, 10)) * 64) / 64
    loss = SoftTargetKL(temperature, reduction=None)
    values, gradient = run(loss, teacher, student)
    shifted, shifted_gradient = run(loss, teacher - 512, student + 1024)
    np.testing.assert_allclose(shifted, values, rtol=1e-6)
    np.testing.assert_allclose(shifted_gradient, gradient, rtol=1e-6, atol=1e-6)


@every_limit
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("loss_class", [*SOFTENED, LogitsMSE])
def test_half_precision_outputs(loss_class, dtype, limit):
    """A square or an exponential in float16 overflows: the loss must compute in float32."""
    teacher, student = (tf.cast(z, dtype) for z in uniform(limit, (32, 10)))
    exact = [tf.cast(z, "float64").numpy() for z in (teacher, student)]
    if loss_class is LogitsMSE:
        cases = [(LogitsMSE(reduction=None), oracles.mean_squared_error(*exact))]
    else:
        oracle = SOFTENED[loss_class]
        cases = [(loss_class(t, reduction=None), oracle(*exact, t)) for t in TEMPERATURES]
    for loss, (expected, expected_gradient) in cases:
        values, gradient = run(loss, teacher, student)
        assert values.dtype == "float32"
        assert norm_error(values, expected) < 1e-6
        assert gradient.dtype == dtype
        # Half of the dtype's precision: only the last cast may round.
        assert norm_error(gradient, expected_gradient) < {"float16": 5e-4, "bfloat16": 4e-3}[dtype]


@every_softened_loss
def test_float64(loss_class, float64):
    """Under floatx float64 a loss in float32 would lose half of the digits in silence."""
    teacher, student = uniform(5.0, (32, 10), "float64")
    expected, expected_gradient = SOFTENED[loss_class](teacher, student, 4.0)
    values, gradient = run(loss_class(4.0, reduction=None), teacher, student)
    assert values.dtype == "float64"
    assert norm_error(values, expected) < 1e-10
    assert norm_error(gradient, expected_gradient) < 1e-10


@every_softened_loss
def test_compiled_by_xla(loss_class):
    """XLA fuses and reorders: a custom gradient may not survive that."""
    teacher, student = uniform(50.0, (32, 10))
    loss = loss_class(4.0, reduction=None)
    compiled = tf.function(lambda t, s: run(loss, t, s), jit_compile=True)
    values, gradient = compiled(tf.constant(teacher), tf.constant(student))
    expected, expected_gradient = SOFTENED[loss_class](teacher, student, 4.0)
    assert norm_error(values, expected) < 1e-6
    assert norm_error(gradient, expected_gradient) < 1e-6


@pytest.mark.parametrize(("limit", "temperature"), [(2.0, 1.0), (5.0, 4.0)])
@pytest.mark.parametrize(
    "from_logits",
    [(False, False), (False, True), (True, False)],
    ids=["both", "teacher", "student"],
)
@every_softened_loss
def test_probabilities_give_the_loss_of_their_logits(loss_class, from_logits, temperature, limit):
    """Probabilities taken for logits, or divided by T, give a flat and wrong distribution."""
    teacher, student = uniform(limit, (32, 10))
    activation = keras.ops.sigmoid if loss_class is BinarySoftTargets else keras.ops.softmax
    loss = loss_class(
        temperature,
        teacher_from_logits=from_logits[0],
        student_from_logits=from_logits[1],
        reduction=None,
    )
    logits = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        values = loss(
            teacher if from_logits[0] else activation(tf.constant(teacher)),
            logits if from_logits[1] else activation(logits),
        )
    expected, expected_gradient = SOFTENED[loss_class](teacher, student, temperature)
    assert norm_error(values, expected) < 2e-5
    assert norm_error(tape.gradient(values, logits), expected_gradient) < 2e-4


@every_softened_loss
def test_probabilities_that_underflowed_stay_finite(loss_class):
    """log(0) is -inf, and -inf * 0 a NaN that ends the training."""
    teacher, student = np.array([[1.0, 0.0]], "float32"), np.array([[0.0, 1.0]], "float32")
    loss = loss_class(2.0, teacher_from_logits=False, student_from_logits=False)
    value, gradient = run(loss, teacher, student)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert value > 10


def test_teacher_from_probabilities_of_scipy():
    """The declared domain is the teacher's own: softmax and sigmoid must not be swapped."""
    logits = uniform(3.0, (32, 4), "float64")[0]
    for loss_class, probabilities in (
        (SoftTargetKL, softmax(logits, -1)),
        (BinarySoftTargets, expit(logits)),
    ):
        loss = loss_class(2.0, teacher_from_logits=False)
        assert float(loss(probabilities, logits)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("side", ["teacher", "student"])
def test_logits_mse_refuses_probabilities(side):
    """The square of two probabilities' difference is not the logits' at all."""
    loss = LogitsMSE(**{f"{side}_from_logits": False})
    with pytest.raises(ValueError, match=r"LogitsMSE needs logits.*Remove the last activation"):
        loss(np.ones((2, 3)), np.ones((2, 3)))


def test_single_class_is_refused():
    """A softmax over one class is always 1: the loss is 0 and nothing ever trains."""
    with pytest.raises(ValueError, match=r"at least two classes.*\(4, 1\).*BinarySoftTargets"):
        SoftTargetKL()(np.ones((4, 1)), np.ones((4, 1)))
