"""Schedules that leave their range within a `fit` are refused before anything is trained."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.optimizers.schedules import PolynomialDecay

from keras_distill import Distiller
from keras_distill import Objective
from keras_distill import losses
from keras_distill import teaching

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 5)).astype("float32")
Y = RNG.integers(0, 3, 32)
BATCHES = 4
TO_TWO = PolynomialDecay(0.0, 40, 2.0)  # step / 20: an alpha until step 20.
FALLING = PolynomialDecay(1.0, 40, -1.0)  # 1 - step / 20: 0 at step 20.


def dense(name):
    hidden = keras.layers.Dense(4, "relu", name="hidden")
    return keras.Sequential([keras.Input((5,)), hidden, keras.layers.Dense(3)], name=name)


def distiller(optimizer="sgd", **settings):
    settings.setdefault("objectives", [])
    model = Distiller(student=dense("student"), teacher=dense("teacher"), **settings)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def fit(model, epochs, **settings):
    return model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, **settings)


def hint(weight):
    return Objective(
        losses.FeatureMSE(),
        teacher_layer="hidden",
        student_layer="hidden",
        weight=weight,
        name="hint",
    )


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": TO_TWO}, "alpha must be a number from 0 to 1"),
        ({"temperature": FALLING}, "temperature must be a positive finite number"),
        (
            {"soft_loss": losses.SoftTargetKL(FALLING)},
            "temperature must be a positive finite number",
        ),
        ({"objectives": [hint(FALLING)]}, "weight of 'hint' must be a finite number >= 0"),
    ],
    ids=["alpha", "temperature", "soft_loss", "weight"],
)
def test_a_schedule_that_leaves_its_range(settings, message):
    """Taught with a negative weight, the student would unlearn, hours later."""
    model = distiller(**settings)
    before = model.student.get_weights()
    with pytest.raises(ValueError, match=f"^{message} at every step. Received: .* at step 2"):
        fit(model, epochs=6)
    for old, new in zip(before, model.student.get_weights()):
        np.testing.assert_array_equal(old, new)
    assert int(model.optimizer.iterations) == 0
    # Steps 0 to 19: as far as this training goes, it stays in its range.
    fit(model, epochs=5)
    assert int(model.optimizer.iterations) == 5 * BATCHES


def test_a_training_that_goes_on():
    """What is left counts, from the optimizer's step: 8 to 19, then 20 and above."""
    model = distiller(temperature=FALLING)
    fit(model, epochs=2)
    fit(model, epochs=5, initial_epoch=2)
    with pytest.raises(ValueError, match="Received: 0 at step 20"):
        fit(model, epochs=1)


@pytest.mark.long
def test_a_training_that_a_backup_brings_back(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    model = distiller(temperature=FALLING)
    with pytest.raises(KeyboardInterrupt):
        fit(model, 5, callbacks=[keras.callbacks.BackupAndRestore(tmp_path), Stop()])
    model = distiller(temperature=FALLING)
    history = fit(model, 5, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)])
    assert history.epoch[-1] == 4
    assert int(model.optimizer.iterations) == 5 * BATCHES


def test_accumulated_gradients():
    """Half as many steps of the optimizer."""
    model = distiller(keras.optimizers.SGD(gradient_accumulation_steps=2), temperature=FALLING)
    fit(model, epochs=10)
    with pytest.raises(ValueError, match="Received: 0 at step 20"):
        fit(model, epochs=1)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras, as without a schedule.
def test_a_data_set_of_unknown_size():
    """The first epoch that leaves its range is the last."""
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8).filter(lambda x, y: True)
    model = distiller(temperature=FALLING)
    model.fit(data, epochs=3, verbose=0, shuffle=False)
    # Keras counts a step too many where such data ends.
    assert int(model.optimizer.iterations) in (3 * BATCHES, 3 * (BATCHES + 1))
    with pytest.raises(ValueError, match=r"temperature must be .* at step 2"):
        model.fit(data, epochs=10, verbose=0, shuffle=False)
    assert 20 < int(model.optimizer.iterations) < 26


def test_the_users_callbacks():
    """They run as without a schedule, and a list of them stays as it was."""
    counted = []
    own = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: counted.append(epoch))
    model, mine = distiller(alpha=TO_TWO), [own]
    fit(model, 1)
    fit(model, 1, callbacks=own)
    fit(model, 1, callbacks=mine)
    assert mine == [own]
    model.fit(X, Y, 8, 1, 0, [own])
    whole_list = keras.callbacks.CallbackList([own], add_history=True, model=model)
    fit(model, 1, callbacks=whole_list)
    assert counted == [0] * 4
    with pytest.raises(ValueError, match=r"Received: .* at step 2"):  # Behind such a list, too.
        fit(model, 9, callbacks=whole_list)


def test_two_devices(two_devices):
    with two_devices.scope():
        model = distiller(temperature=FALLING)
    with pytest.raises(ValueError, match="Received: 0 at step 20"):
        fit(model, epochs=6)


@pytest.mark.parametrize("setting", ["weight", "temperature"])
def test_peers(setting):
    settings = {"weight": FALLING}
    if setting == "temperature":
        settings = {"soft_loss": losses.SoftTargetKL(FALLING)}
    model = teaching.MutualLearning([dense("one"), dense("other")], **settings)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=f"^{setting} must be .* at step 2"):
        fit(model, epochs=6)


def test_data_free():
    """The generator's weights count its optimizer's steps, the student's temperature its own's."""

    def data_free(entropy_weight=5.0, **settings):
        generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(5)])
        model = distiller(alpha=0.0, **settings)
        model = teaching.DataFree(model, generator, entropy_weight=entropy_weight)
        model.compile("sgd")
        return model

    with pytest.raises(ValueError, match=r"^entropy_weight must be a finite number >= 0 at every"):
        data_free(FALLING).fit(batch_size=8, steps_per_epoch=30, verbose=0)
    model = data_free(temperature=FALLING)
    with pytest.raises(ValueError, match=r"^temperature must be .* at step 20"):
        model.fit(batch_size=8, steps_per_epoch=30, verbose=0)
    model.fit(batch_size=8, steps_per_epoch=20, verbose=0)
