"""A generator and a student that learn from a teacher without data."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy.special import log_softmax

import keras_distill as kd
from keras_distill import Distiller
from keras_distill import Objective
from keras_distill.losses import FeatureMSE
from keras_distill.teaching import DataFree

NOISE = np.random.default_rng(3).normal(size=(12, 4)).astype("float32")
X = np.random.default_rng(4).normal(size=(10, 5)).astype("float32")
Y = np.arange(10) % 3


def dense(*widths, dropout=0.0, activation=None):
    """A stack of linear layers "dense_1", "dense_2", ...; the first width is the input's."""
    names = [f"dense_{number}" for number in range(1, len(widths))]
    parts = [layers.Dense(width, name=name) for width, name in zip(widths[1:], names)]
    last = [layers.Activation(activation)] if activation else []
    return keras.Sequential([keras.Input(widths[:1]), layers.Dropout(dropout), *parts, *last])


def fixed_teacher(activation=None):
    keras.utils.set_random_seed(7)
    return dense(5, 6, 3, activation=activation)


def data_free(
    teacher=None, dropout=0.0, optimizer="adam", objectives=(), run_eagerly=True, **settings
):
    teacher = fixed_teacher() if teacher is None else teacher
    distiller = Distiller(
        student=dense(5, 6, 3, dropout=dropout),
        teacher=teacher,
        alpha=0.0,
        objectives=list(objectives),
    )
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(optimizer, cross_entropy, metrics=["accuracy"], run_eagerly=run_eagerly)
    model = DataFree(distiller, dense(4, 5, dropout=dropout), **{"seed": 1, **settings})
    model.compile(optimizer, run_eagerly=run_eagerly)
    return model


def noise_batches(batch_size=12):
    return tf.data.Dataset.from_tensor_slices(NOISE).batch(batch_size)


def fit(model, **kwargs):
    kwargs = {"batch_size": 8, "steps_per_epoch": 3, "verbose": 0, **kwargs}
    return model.fit(**kwargs).history


def affine(x, model):
    outputs = []
    weights = [weight.astype("float64") for weight in model.get_weights()]
    for kernel, bias in zip(weights[::2], weights[1::2]):
        x = x @ kernel + bias
        outputs.append(x)
    return outputs


def generator_losses(generator_weights, teacher):
    """The paper's three losses in float64, of linear models."""
    kernel, bias = generator_weights
    hidden, logits = affine(NOISE @ kernel + bias, teacher)
    log_p = log_softmax(logits, axis=1)
    mean = np.exp(log_p).mean(axis=0)
    return {
        "one_hot_loss": -log_p.max(axis=1).mean(),
        "activation_loss": -np.abs(hidden).mean(),
        "entropy_loss": (mean * np.log(mean)).sum() / np.log(3),
    }


def total(losses):
    return losses["one_hot_loss"] + 0.1 * losses["activation_loss"] + 5.0 * losses["entropy_loss"]


def differences(function, weights):
    """The gradient by central differences, in float64."""
    gradients = [np.zeros_like(weight) for weight in weights]
    for weight, gradient in zip(weights, gradients):
        for index in np.ndindex(weight.shape):
            value = weight[index]
            ends = []
            for step in (1e-6, -1e-6):
                weight[index] = value + step
                ends.append(function(weights))
            weight[index] = value
            gradient[index] = (ends[0] - ends[1]) / 2e-6
    return gradients


@pytest.mark.long_but_first
@pytest.mark.parametrize("run_eagerly", [True, False])
def test_a_step_is_that_of_the_paper(run_eagerly):
    """A wrong sign or weight, a student that teaches the generator, or a teacher that learns."""
    model = data_free(optimizer="sgd", features="dense_1", run_eagerly=run_eagerly)
    distiller, generator = model.distiller, model.generator
    before = [weight.astype("float64") for weight in generator.get_weights()]
    student, taught = distiller.student.get_weights(), distiller.teacher.get_weights()
    images = generator(NOISE).numpy()
    history = model.fit(noise_batches(), verbose=0).history

    losses = generator_losses(before, distiller.teacher)
    for name, value in losses.items():
        assert history[name] == pytest.approx([value], rel=1e-5), name
    assert history["generator_loss"] == pytest.approx([total(losses)], rel=1e-5)
    gradients = differences(lambda w: total(generator_losses(w, distiller.teacher)), before)
    for weight, old, gradient in zip(generator.get_weights(), before, gradients):
        np.testing.assert_allclose(old - weight, 0.01 * gradient, atol=2e-7)
    for weight, old in zip(distiller.teacher.get_weights(), taught):
        np.testing.assert_array_equal(weight, old)

    # The student takes the step of a Distiller on the images from before the generator's.
    alone = Distiller(student=dense(5, 6, 3), teacher=distiller.teacher, alpha=0.0)
    alone.student.set_weights(student)
    alone.compile("sgd", run_eagerly=True)
    expected = alone.fit(images, batch_size=12, shuffle=False, verbose=0).history
    assert history["soft_loss"] == pytest.approx(expected["soft_loss"], rel=1e-5)
    for weight, other in zip(distiller.student.get_weights(), alone.student.get_weights()):
        np.testing.assert_allclose(weight, other, atol=1e-6)


def test_the_teacher_runs_once_in_a_step():
    """Through a second pass the cost would double, and dropout of the two would differ."""
    calls = []

    def teacher(x):
        calls.append(x)
        return model(x)

    model = fixed_teacher()
    free = data_free(teacher)
    num_calls = []
    for batch_size in (12, 4):
        calls.clear()
        free.fit(noise_batches(batch_size), verbose=0)
        num_calls.append(len(calls))
    checks = num_calls[0] - 1
    assert num_calls[1] in (3, 3 + checks)


@pytest.mark.long
def test_saved_and_reloaded_it_goes_on(tmp_path):
    """A generator or optimizer that starts anew, the same noise again, dropout from its start."""
    objective = Objective(
        FeatureMSE(), teacher_layer="dense_1", student_layer="dense_1", projector=layers.Dense(6)
    )
    settings = {"dropout": 0.2, "features": "dense_1", "objectives": [objective]}
    keras.utils.set_random_seed(5)
    whole = data_free(**settings)
    fit(whole)
    whole.save(tmp_path / "half.keras")
    expected = fit(whole)
    reloaded = keras.models.load_model(tmp_path / "half.keras")
    with pytest.raises(ValueError, match="DataFree needs the teacher in every step"):
        fit(reloaded)
    reloaded.distiller.teacher = fixed_teacher()
    history = fit(reloaded)
    assert history.keys() == expected.keys()
    for name, values in history.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, err_msg=name)
    for one, other in [
        (reloaded.generator, whole.generator),
        (reloaded.distiller.student, whole.distiller.student),
    ]:
        for weight, expected_weight in zip(one.get_weights(), other.get_weights()):
            np.testing.assert_allclose(weight, expected_weight, atol=1e-6)


@pytest.mark.long
def test_a_backup_goes_on_with_new_noise(tmp_path):
    """The step that it brings back is not known when `fit` begins to make its data."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    models = [data_free() for _ in range(3)]
    for model in models[1:]:
        model.generator.set_weights(models[0].generator.get_weights())
        model.distiller.student.set_weights(models[0].distiller.student.get_weights())
    whole, killed, resumed = models
    fit(whole, epochs=4)
    with pytest.raises(KeyboardInterrupt):
        fit(killed, epochs=4, callbacks=[kd.callbacks.BackupAndRestore(tmp_path), Stop()])
    fit(resumed, epochs=4, callbacks=[kd.callbacks.BackupAndRestore(tmp_path)])
    for weight, expected in zip(resumed.get_weights(), whole.get_weights()):
        np.testing.assert_allclose(weight, expected, atol=1e-6)


@pytest.mark.long
def test_seeds_decide():
    """Else no result could be found again."""
    histories = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(0)
        histories.append(fit(data_free(seed=seed))["generator_loss"])
    assert histories[0] == histories[1]
    assert histories[0] != histories[2]
    drawn = []
    for _ in range(2):
        keras.utils.set_random_seed(9)
        drawn.append(data_free(seed=None).seed)
    assert drawn[0] == drawn[1]


@pytest.mark.long
def test_evaluation_is_the_students():
    """Labels and images are the student's; noise is none of evaluation's."""
    model = data_free()
    history = fit(model, epochs=2, validation_data=(X, Y))
    expected = model.distiller.evaluate(X, Y, verbose=0, return_dict=True)
    assert model.evaluate(X, Y, verbose=0, return_dict=True) == expected
    assert history["val_accuracy"][-1] == expected["accuracy"]
    expected = model.distiller.test_on_batch(X, Y, return_dict=True)
    assert model.test_on_batch(X, Y, return_dict=True) == expected
    student = model.distiller.student
    np.testing.assert_array_equal(model.predict(X, verbose=0), student.predict(X, verbose=0))
    np.testing.assert_array_equal(model(X), student(X))


@pytest.mark.long
def test_a_new_teacher_is_used():
    """A compiled step would go on with the teacher that it was traced with."""
    model = data_free(run_eagerly=False)
    fit(model)
    model.distiller.teacher = dense(5, 3)
    model.distiller.teacher.set_weights([np.zeros((5, 3)), np.zeros(3)])
    assert fit(model)["one_hot_loss"] == pytest.approx([np.log(3)])


@pytest.mark.long
def test_a_new_compile_is_used():
    """A step that is traced goes on with the optimizer that it was traced with."""
    model = data_free(run_eagerly=False)
    fit(model)
    model.distiller.compile(keras.optimizers.SGD(0.0))
    # Its fit leaves a function that does not show that there was a new one.
    model.distiller.fit(X, verbose=0)
    before = model.distiller.student.get_weights()
    fit(model)
    for weight, expected in zip(model.distiller.student.get_weights(), before):
        np.testing.assert_array_equal(weight, expected)
    assert int(model.distiller.optimizer.iterations) == 4


def test_averages_of_weights():
    """Keras would set the student, which comes first, to the generator's averages."""

    def averaging():
        return keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)

    model = data_free()
    model.distiller.compile(averaging(), run_eagerly=True)
    model.compile(averaging(), run_eagerly=True)
    last = []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: last.append(model.get_weights()))
    fit(model, callbacks=[keep])
    for one in (model, model.distiller):
        averages = one.optimizer._model_variables_moving_average
        for variable, average in zip(one.trainable_weights, averages, strict=True):
            np.testing.assert_array_equal(variable, average)
    assert any((now != then).any() for now, then in zip(model.get_weights(), last[0]))


@pytest.mark.long
def test_swapped_averages_are_the_generators():
    """The student, which has none, keeps its weights while it is evaluated."""
    model = data_free()
    model.compile(keras.optimizers.SGD(0.1, use_ema=True), run_eagerly=True)
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    history = fit(model, epochs=2, callbacks=[swap], validation_data=(X, Y))
    expected = model.distiller.evaluate(X, Y, verbose=0, return_dict=True)
    assert history["val_loss"][-1] == pytest.approx(expected["loss"])
    averages = model.optimizer._model_variables_moving_average
    for variable, average in zip(model.generator.trainable_weights, averages, strict=True):
        np.testing.assert_array_equal(variable, average)


def test_accumulated_gradients_are_of_new_noise():
    """Counted by the updates, a second `fit` would begin with noise of the first."""
    model = data_free()
    adam = keras.optimizers.Adam(gradient_accumulation_steps=2)
    model.compile(keras.optimizers.LossScaleOptimizer(adam), run_eagerly=True)
    fit(model)
    drawn = [next(iter(data_free()._noise(8).skip(skipped))).numpy() for skipped in (0, 3)]
    following = next(iter(model._noise(8))).numpy()
    np.testing.assert_array_equal(following, drawn[1])
    assert (following != drawn[0]).any()


@pytest.mark.long
def test_on_two_devices(two_devices):
    """Losses that are summed over the devices, and not averaged, would double the step."""
    histories, weights = [], []
    for strategy in (tf.distribute.get_strategy(), two_devices):
        with strategy.scope():
            keras.utils.set_random_seed(4)
            # The entropy is that of each device's part; the others are means.
            model = data_free(optimizer="sgd", entropy_weight=0.0, run_eagerly=False)
        histories.append(model.fit(noise_batches(4), verbose=0).history)
        weights.append(model.get_weights())
    for one, two in zip(*weights):
        np.testing.assert_allclose(two, one, atol=1e-6)
    for name in ("soft_loss", "one_hot_loss"):
        np.testing.assert_allclose(histories[1][name], histories[0][name], rtol=1e-5)
    assert fit(model)["entropy_loss"][0] < 0


@pytest.mark.long
def test_float16():
    """Without loss scaling, small gradients of float16 would vanish."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = data_free(features="dense_1", run_eagerly=False)
    finally:
        keras.config.set_dtype_policy("float32")
    for part in (model, model.distiller):
        assert isinstance(part.optimizer, keras.optimizers.LossScaleOptimizer)
    before = model.get_weights()
    history = fit(model, epochs=2)
    assert all(np.isfinite(values).all() for values in history.values())
    assert all((a != b).any() for a, b in zip(before[:6], model.get_weights()[:6]))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "relu"])
def test_teacher_without_logits(activation):
    """Of probabilities, all are unsure, and the generator would learn nothing."""
    with pytest.raises(ValueError, match="DataFree needs a teacher that gives logits"):
        fit(data_free(fixed_teacher(activation)))


def test_teacher_of_numbers_or_unknown_probabilities():
    """A regressor has no classes to be sure of."""
    with pytest.raises(ValueError, match="DataFree needs a teacher with one output of logits"):
        fit(data_free(dense(5, 9, 1)))
    probable = fixed_teacher("softmax")
    with pytest.raises(ValueError, match="Received: values that are probabilities"):
        fit(data_free(lambda x: probable(x)))


def test_bad_arguments():
    """Each would fail in the first step, far from its cause, or train something else."""
    distiller = data_free().distiller
    generator = dense(4, 5)
    for arguments, message in [
        ((distiller.student, generator), "distiller must be a keras_distill.Distiller"),
        ((distiller, lambda x: x), "generator must be a keras.Model that is built"),
        ((distiller, keras.Sequential([layers.Dense(5)])), "generator must be a keras.Model"),
        ((distiller, dense(4, 6)), r"generator must make what the student reads.*\(None, 6\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            DataFree(*arguments)
    other = Distiller(student=dense(5, 3), teacher=dense(6, 3), alpha=0.0)
    with pytest.raises(ValueError, match="generator must make what the teacher reads"):
        DataFree(other, generator)
    two_noises = [keras.Input((4,)), keras.Input((4,))]
    two_inputs = keras.Model(two_noises, layers.Dense(5)(layers.Add()(two_noises)))
    with pytest.raises(ValueError, match="generator must have one input of noise"):
        DataFree(distiller, two_inputs)
    for name in ("one_hot_weight", "activation_weight", "entropy_weight"):
        with pytest.raises(ValueError, match=f"{name} must be a finite number >= 0"):
            DataFree(distiller, generator, features="dense_1", **{name: -1.0})
    with pytest.raises(ValueError, match=r"activation_weight is that of the features.*=0.5"):
        DataFree(distiller, generator, activation_weight=0.5)
    with pytest.raises(ValueError, match="seed must be an integer"):
        DataFree(distiller, generator, seed=-1)


def test_bad_calls():
    """Labels that count nothing, losses that are never used, an epoch without end."""
    model = data_free()
    with pytest.raises(ValueError, match="needs steps_per_epoch"):
        model.fit()
    with pytest.raises(ValueError, match="batch_size must be an integer"):
        fit(model, batch_size=0)
    with pytest.raises(ValueError, match="DataFree learns from noise, without labels"):
        model.fit(tf.data.Dataset.from_tensor_slices((NOISE, NOISE)).batch(4), verbose=0)
    with pytest.raises(ValueError, match=r"compile\(\) of DataFree has the generator's optimizer"):
        model.compile("adam", loss="mse")
    with pytest.raises(ValueError, match="names no layer"):
        fit(data_free(features="no_layer"))
    labels_only = Distiller(student=dense(5, 3), teacher=dense(5, 3), alpha=1.0)
    labels_only.compile("adam", "mse")
    nothing = DataFree(labels_only, dense(4, 5))
    nothing.compile("adam")
    with pytest.raises(ValueError, match="There is nothing to learn from: noise has no labels"):
        fit(nothing)
    uncompiled = DataFree(
        Distiller(student=dense(5, 3), teacher=dense(5, 3), alpha=0.0), dense(4, 5)
    )
    uncompiled.compile("adam")
    with pytest.raises(ValueError, match="The distiller must be compiled"):
        fit(uncompiled)
    uncompiled.distiller.compile(uncompiled.optimizer)
    with pytest.raises(ValueError, match="must have an optimizer each"):
        fit(uncompiled)
    open_end = keras.Sequential([keras.Input((None,)), layers.Reshape((4,)), layers.Dense(5)])
    free = DataFree(model.distiller, open_end)
    free.compile("adam")
    with pytest.raises(ValueError, match="generator must read noise of a known shape"):
        fit(free)
