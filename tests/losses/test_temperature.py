"""The temperature of the output losses: numbers, schedules, serialisation."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import uniform

from keras_distill.losses import BinarySoftTargets
from keras_distill.losses import LogitsMSE
from keras_distill.losses import SoftTargetKL

TEMPERATURE_LOSSES = [SoftTargetKL, BinarySoftTargets]
every_loss = pytest.mark.parametrize("loss_class", TEMPERATURE_LOSSES)


def falling():
    return keras.optimizers.schedules.PolynomialDecay(8.0, 100, 2.0)


@pytest.mark.parametrize(
    "temperature", [0, 0.0, -1.0, float("nan"), float("inf"), -float("inf"), True, "4", None, [4.0]]
)
@every_loss
def test_bad_temperatures(loss_class, temperature):
    """T = 0 gives NaN, T < 0 teaches the opposite, True would count as 1."""
    with pytest.raises(ValueError, match="temperature must be a positive finite number") as error:
        loss_class(temperature)
    assert str(error.value).endswith(f"Received: temperature={temperature!r}")


@pytest.mark.parametrize("temperature", [3, np.float32(3), np.int64(3), np.float64(3)], ids=repr)
@every_loss
def test_numbers_of_any_type(loss_class, temperature):
    """A temperature from a sweep over np.linspace must work, and be saved."""
    teacher, student = uniform(5.0, (4, 6))
    loss = loss_class(temperature)
    expected = float(loss_class(3.0)(teacher, student))
    assert float(loss(teacher, student)) == pytest.approx(expected, rel=1e-6)
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert float(restored(teacher, student)) == pytest.approx(expected, rel=1e-6)


@every_loss
def test_default_is_four(loss_class):
    """The same default as the Distiller's."""
    assert loss_class().temperature == 4.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("step", [0, 25, 100])
@every_loss
def test_schedule_at_a_step(loss_class, step, dtype):
    """The loss at a step is that of the schedule's temperature, with its T^2."""
    teacher, student = uniform(5.0, (4, 6))
    settings = {"student_from_logits": True, "reduction": "sum", "name": "mine", "dtype": dtype}
    loss = loss_class(falling(), **settings)
    at_step = loss.for_batch(step=step)
    expected = loss_class(8.0 - 6.0 * step / 100, reduction="sum")(teacher, student)
    assert float(at_step(teacher, student)) == pytest.approx(float(expected), rel=1e-6)
    assert (at_step.name, at_step.student_from_logits) == ("mine", True)
    # The loss itself still has its schedule, for the next step.
    assert isinstance(loss.temperature, keras.optimizers.schedules.PolynomialDecay)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_schedule_moves_inside_one_compiled_step(jit_compile):
    """A temperature that is frozen in the trace would never anneal."""
    teacher, student = uniform(5.0, (4, 6))
    loss, step, num_traces = SoftTargetKL(falling()), tf.Variable(0), []

    @tf.function(jit_compile=jit_compile)
    def value():
        num_traces.append(1)
        return loss.for_batch(step=step)(teacher, student)

    for number, temperature in ((0, 8.0), (50, 5.0), (100, 2.0)):
        step.assign(number)
        expected = float(SoftTargetKL(temperature)(teacher, student))
        assert float(value()) == pytest.approx(expected, rel=1e-5)
    assert len(num_traces) == 1


@every_loss
def test_a_number_is_the_same_at_every_step(loss_class):
    loss = loss_class(2.0)
    assert loss.for_batch(step=7).temperature == loss.for_batch().temperature == 2.0


@every_loss
def test_schedule_outside_a_distiller(loss_class):
    """Without a step any temperature would be a guess."""
    with pytest.raises(
        ValueError, match=r"only a Distiller knows the step.*loss\.for_batch\(step=step\)"
    ):
        loss_class(falling())(*uniform(5.0, (4, 6)))


@pytest.mark.parametrize("from_logits", [(None, None), (True, False)])
@pytest.mark.parametrize("temperature", [2.5, falling()], ids=["number", "schedule"])
@every_loss
def test_config_round_trip(loss_class, temperature, from_logits):
    """Through JSON, as in a .keras file: a lost schedule or domain changes the loss."""
    loss = loss_class(
        temperature, teacher_from_logits=from_logits[0], student_from_logits=from_logits[1]
    )
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.get_config() == loss.get_config()
    assert (restored.teacher_from_logits, restored.student_from_logits) == from_logits
    copy = loss_class.from_config(loss.get_config())
    for other in (restored, copy):
        assert other.for_batch(step=50).temperature == loss.for_batch(step=50).temperature
        assert type(other.temperature) is type(temperature)


def test_from_config_leaves_the_config_as_it_is():
    """A config that changes under from_config cannot be used twice."""
    config = SoftTargetKL(falling()).get_config()
    before = json.dumps(config)
    SoftTargetKL.from_config(config)
    assert json.dumps(config) == before


@pytest.mark.parametrize("loss_class", [*TEMPERATURE_LOSSES, LogitsMSE])
def test_with_settings_is_a_copy(loss_class):
    """A Distiller fills in the domains of its models; the user's loss stays undeclared."""
    loss = loss_class(reduction="sum")
    declared = loss.with_settings(teacher_from_logits=True, student_from_logits=True)
    assert (declared.teacher_from_logits, declared.student_from_logits) == (True, True)
    assert (loss.teacher_from_logits, loss.student_from_logits) == (None, None)
    assert type(declared) is loss_class
    assert declared.reduction == "sum"
