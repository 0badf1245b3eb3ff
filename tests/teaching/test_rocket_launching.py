"""Rocket launching: the paper's loss, and the gradient block."""

import keras
import linear
import numpy as np

from keras_distill.teaching import RocketLaunching


def test_value_and_gradient():
    """Without its gradient block, the hint would train the booster towards the light net."""
    model = linear.rocket_launching()
    light, booster, trunk = model.models["light"], model.models["booster"], model.trunk
    linear.spread((light, booster, trunk), scale=1.0)
    x, n = linear.X.astype("float64"), len(linear.X)
    shared = linear.affine(x, trunk)
    light_kernel, tower_kernel, head_kernel = (
        model.get_weights()[0].astype("float64")
        for model in (light, booster.layers[0], booster.layers[1])
    )
    z, taught = linear.affine(shared, light), linear.affine(shared, booster)
    variables = [light.trainable_variables, booster.trainable_variables, trunk.trainable_variables]
    history, gradients = linear.step(model, sample_weight=linear.WEIGHTS)

    weights = linear.WEIGHTS.astype("float64")
    hard = [(weights * linear.cross_entropy(logits, linear.Y)).mean() for logits in (z, taught)]
    hint = (weights * ((taught - z) ** 2).mean(axis=-1)).mean()
    np.testing.assert_allclose(history["light_loss"], hard[0], rtol=1e-6)
    np.testing.assert_allclose(history["booster_loss"], hard[1], rtol=1e-6)
    np.testing.assert_allclose(history["light_soft_loss"], hint, rtol=1e-6)
    np.testing.assert_allclose(history["loss"], sum(hard) + 0.3 * hint, rtol=1e-6)

    labels, scale = np.eye(linear.CLASSES)[linear.Y], weights[:, None] / n
    of_light = scale * (linear.softmax(z) - labels + 0.3 * 2 / linear.CLASSES * (z - taught))
    of_booster = scale * (linear.softmax(taught) - labels)
    of_hidden = of_booster @ head_kernel.T
    of_trunk = of_light @ light_kernel.T + of_hidden @ tower_kernel.T
    expected = [shared.T @ of_light, shared.T @ of_hidden, x.T @ of_trunk]
    for (kernel, *_), gradient in zip(variables, expected):
        np.testing.assert_allclose(gradients[kernel.path], gradient, atol=2e-6)


def test_trunk_runs_once_and_is_in_the_student():
    """A student without its trunk, or one that trains no longer with it, would answer anything."""
    model = linear.rocket_launching()
    linear.step(model, run_eagerly=True)
    outputs = model(linear.X)
    for name, values in outputs.items():
        student = model.student(name)
        np.testing.assert_allclose(student(linear.X), values, atol=1e-6)
    assert len(model.student().weights) == 4
    assert {id(w) for w in model.student().weights} <= {id(w) for w in model.weights}


def test_no_trunk():
    """Two nets that share nothing, as in the paper's table 2."""
    whole = linear.RocketLaunching(
        light=linear.stack(6, linear.CLASSES, name="light"),
        booster=linear.stack(6, 8, linear.CLASSES, name="booster"),
    )
    history, _ = linear.step(whole, run_eagerly=True)
    assert history["light_soft_loss"] > 0
    assert whole.student() is whole.models["light"]


def test_a_loss_of_keras_gives_the_booster_no_gradient():
    """Keras's losses give y_true a gradient: the booster would learn from the light net."""
    first = linear.rocket_launching()
    parts = {**first.models, "trunk": first.trunk}
    weights, gradients = [part.get_weights() for part in parts.values()], []
    for weight in (0.0, 100.0):
        for part, values in zip(parts.values(), weights):
            part.set_weights(values)
        loss = keras.losses.MeanSquaredError()
        model = RocketLaunching(**parts, soft_loss=loss, weight=weight)
        _, found = linear.step(model, run_eagerly=True)
        gradients.append([found[v.path] for v in model.models["booster"].trainable_variables])
    for without, with_lesson in zip(*gradients):
        np.testing.assert_allclose(with_lesson, without, atol=1e-6)
