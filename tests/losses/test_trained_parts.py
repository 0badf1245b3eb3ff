"""What all losses with trained parts share, whatever they compute."""

import json
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import uniform
from trained import run_trained

from keras_distill import losses


class Trained(NamedTuple):
    """A loss, the name of its trained part, and the shapes of an example's features."""

    loss: Callable
    part: str
    teacher: tuple | list
    student: tuple | list


LOSSES = {
    "VariationalInformation": Trained(
        losses.VariationalInformation, "variance", (4, 4, 3), (4, 4, 3)
    ),
    "FactorTransfer": Trained(
        lambda **settings: losses.FactorTransfer(losses.paraphraser(4), **settings),
        "translator",
        (4, 4, 4),
        (4, 4, 3),
    ),
    "KnowledgeReview": Trained(
        losses.KnowledgeReview, "review", [(5, 5, 3), (5,)], [(6, 6, 2), (4,)]
    ),
    # Without a mask, so that two calls give one number.
    "MaskedGenerative": Trained(
        lambda **settings: losses.MaskedGenerative(mask_rate=0.0, **settings),
        "generation",
        (4, 4, 3),
        (4, 4, 3),
    ),
}
every_loss = pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES)


def on_shapes(function, shapes):
    if isinstance(shapes, list):
        return [function(shape, seed) for seed, shape in enumerate(shapes)]
    return function(shapes, 0)


def features(case, limit=5.0, size=6):
    """Teacher's and student's."""

    def of_side(side, shapes):
        return on_shapes(
            lambda shape, seed: uniform(limit, (size, *shape), seed=seed)[side], shapes
        )

    return of_side(0, case.teacher), of_side(1, case.student)


def built(case, **settings):
    """The loss and its trained part."""
    loss = case.loss(**{"reduction": None, **settings})
    loss(*features(case))
    return loss, getattr(loss, case.part)


def signature(case, size=None):
    return [
        on_shapes(lambda shape, _: tf.TensorSpec((size, *shape)), shapes)
        for shapes in (case.teacher, case.student)
    ]


def close(actual, expected):
    """Whether nested tensors are, each by its own size."""
    pairs = zip(tf.nest.flatten(actual), tf.nest.flatten(expected))
    return all(
        norm_error(a, np.asarray(tf.cast(b, "float64"))) < 1e-4 or np.allclose(a, b, atol=1e-5)
        for a, b in pairs
    )


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.long)])
@every_loss
def test_compiled_with_an_unknown_batch_size(case, jit_compile):
    """fit() traces with a batch of None, and a GPU compiles by XLA."""
    loss, part = built(case)
    data = features(case)
    expected = run_trained(loss, part, *data)
    compiled = tf.function(
        lambda t, s: run_trained(loss, part, t, s),
        input_signature=signature(case),
        jit_compile=jit_compile,
    )
    assert close(compiled(*tf.nest.map_structure(tf.constant, data)), expected)


@every_loss
def test_teacher_gets_no_gradient(case):
    """A loss that may move the teacher pulls both models together, to nothing."""
    loss, _ = built(case)
    teacher, student = tf.nest.map_structure(tf.constant, features(case))
    with tf.GradientTape() as tape:
        tape.watch((teacher, student))
        values = loss(teacher, student)
    by_teacher, by_student = tape.gradient(values, (teacher, student))
    assert all(gradient is None for gradient in tf.nest.flatten(by_teacher))
    assert all(np.any(gradient) for gradient in tf.nest.flatten(by_student))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_loss
def test_half_precision(case, dtype):
    """1000^2 is inf in float16: features and layers must be float32, also of mixed policies."""
    keras.config.set_dtype_policy(f"mixed_{dtype}")
    try:
        loss, part = built(case)
        half = tf.nest.map_structure(lambda z: tf.cast(z, dtype), features(case, limit=1000.0))
        values, by_student, by_part = run_trained(loss, part, *half)
    finally:
        keras.config.set_dtype_policy("float32")
    exact = tf.nest.map_structure(lambda z: tf.cast(z, "float32"), half)
    expected, expected_by_student, expected_by_part = run_trained(loss, part, *exact)
    assert values.dtype == "float32"
    assert close([values, by_part], [expected, expected_by_part])
    # Of the student's gradient only the last cast may round.
    for gradient, full in zip(*map(tf.nest.flatten, (by_student, expected_by_student))):
        assert gradient.dtype == dtype
        np.testing.assert_allclose(
            tf.cast(gradient, "float32"), full, rtol=1e-2, atol=1e-2 * np.abs(full).max() + 1e-7
        )


@every_loss
def test_float64(case):
    """Under floatx float64 trained parts in float32 would lose half of the digits."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        loss, part = built(case)
        data = tf.nest.map_structure(lambda z: tf.cast(z, "float64"), features(case))
        results = run_trained(loss, part, *data)
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    assert {result.dtype.name for result in tf.nest.flatten(results)} == {"float64"}


@every_loss
def test_weights_are_of_the_values(case):
    """A weight per example, as a Distiller brings it to the axes of the values."""
    loss, _ = built(case)
    data = features(case)
    values = loss(*data).numpy()
    weights = np.linspace(0.0, 2.0, 6)
    fitted = weights.reshape(-1, *[1] * (values.ndim - 1))
    mean = loss.with_settings(reduction="sum_over_batch_size")
    expected = np.mean(values * fitted)
    assert float(mean(*data, fitted)) == pytest.approx(expected, rel=1e-5)


@every_loss
def test_copy_for_a_batch_shares_the_trained_part(case):
    """A copy of the layers would be trained, and thrown away with the batch."""
    loss, part = built(case)
    assert getattr(loss.for_batch(training=True), case.part) is part
    assert not loss.training


@every_loss
def test_config_round_trip(case):
    """A reloaded Distiller must not go on with another loss than it was saved with."""
    loss = case.loss(name="mine", reduction="sum", dtype="float64")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert type(restored) is type(loss)
    assert restored.get_config() == loss.get_config()
    assert (restored.name, restored.reduction, restored.dtype) == ("mine", "sum", "float64")


def test_settings_survive():
    """Each argument of its own."""
    for loss in (
        losses.VariationalInformation(initial_variance=2.0, epsilon=1e-3),
        losses.FactorTransfer(losses.paraphraser(4, rate=0.25), p=2),
        losses.KnowledgeReview(mid_channels=7),
        losses.MaskedGenerative(mask_rate=0.25, masked="channels", seed=3),
    ):
        default = keras.saving.serialize_keras_object(loss)["config"]
        restored = type(loss).from_config(default)
        assert restored.get_config() == loss.get_config()
        for name in ("initial_variance", "epsilon", "p", "mid_channels", "rate", "masked", "seed"):
            assert getattr(restored, name, None) == getattr(loss, name, None)


@pytest.mark.parametrize("name", ["VariationalInformation", "FactorTransfer", "MaskedGenerative"])
def test_unknown_width(name):
    """Built for one channel, a variance would broadcast over all of them."""
    case = LOSSES[name]
    specs = [tf.TensorSpec((None, *shape[:-1], None)) for shape in (case.teacher, case.student)]
    with pytest.raises(ValueError, match=rf"{name} has trained parts that are as wide as"):
        tf.function(case.loss()).get_concrete_function(*specs)
