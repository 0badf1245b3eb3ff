"""A training that was stopped ends with the weights, and the log, of one that was not."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_distill as kd
from keras_distill.jobs.training import read_history
from keras_distill.jobs.training import train_student

KILL_JOBS = pathlib.Path(__file__).with_name("kill_jobs.py")
NUM_STEPS = 40
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
TAUGHT = {"soft_loss": kd.losses.SoftTargetKL(2.0, teacher_from_logits=True)}


def train(folder, name, stop_at=None):
    """Trains a student with dropout; its data ends with an error at a batch, if given."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype("float32")
    scores = rng.normal(size=(300, 3)).astype("float32")
    inputs = x if name == "alone" else kd.DistillationInputs(x, teacher_outputs=scores)

    def check(number, example):
        with tf.control_dependencies([tf.debugging.assert_none_equal(number, at, message="Stop")]):
            return tf.nest.map_structure(tf.identity, example)

    at = np.int64(-1 if stop_at is None else stop_at)

    def make_batches():
        examples = tf.data.Dataset.from_tensor_slices((inputs, np.argmax(x[:, :3], axis=1)))
        # The 300 examples fill no whole number of batches: an order goes on over the rounds.
        batches = examples.shuffle(300, seed=0).repeat().batch(32)
        return batches.enumerate().map(check)

    def make_student():
        inputs = keras.Input((4,))
        hidden = keras.layers.Dense(8, "relu")(inputs)
        return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dropout(0.5)(hidden)))

    return train_student(
        folder,
        name,
        make_student,
        make_batches,
        class_names=("a", "b", "c"),
        num_steps=NUM_STEPS,
        learning_rate=0.01,
        hard_loss=LOSS,
        seed=0,
        fit_settings=lambda num_steps, num_done: {"verbose": 0},
        **({} if name == "alone" else TAUGHT),
    )


@pytest.mark.parametrize("name", [pytest.param("alone", marks=pytest.mark.long), "distilled"])
def test_stopped_between_two_rounds_or_within_one(name, tmp_path):
    whole = train(tmp_path / "whole", name)
    for stop_at in (13, 24):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Stop"):
            train(tmp_path / "stopped", name, stop_at)
    stopped = train(tmp_path / "stopped", name)
    for wanted, found in zip(whole.get_weights(), stopped.get_weights()):
        np.testing.assert_array_equal(found, wanted)
    logs = [(tmp_path / folder / f"{name}.csv").read_bytes() for folder in ("whole", "stopped")]
    assert logs[0] == logs[1]
    assert not (tmp_path / "stopped" / f"{name}-backup").exists()


@pytest.mark.long
def test_a_round_that_was_logged_and_not_backed_up(tmp_path):
    """It is trained, and logged, again."""
    train(tmp_path / "whole", "alone")
    with pytest.raises(tf.errors.InvalidArgumentError, match="Stop"):
        train(tmp_path / "stopped", "alone", 13)
    with open(tmp_path / "stopped" / "alone.csv", "ab") as log:
        log.write(b"3,0.5\r\n4,0.3\r\n")
    train(tmp_path / "stopped", "alone")
    logs = [(tmp_path / folder / "alone.csv").read_bytes() for folder in ("whole", "stopped")]
    assert logs[0] == logs[1]
    assert len(read_history(tmp_path / "stopped", "alone").history["loss"]) == 10


@pytest.mark.parametrize("text", ["", "epoch,loss\n", "epoch,loss\nx,1\n", "epoch,loss\n0,x\n"])
def test_a_damaged_log_is_named(text, tmp_path):
    (tmp_path / "alone.csv").write_text(text)
    with pytest.raises(ValueError, match=r"alone.csv must be the log .* Remove alone.keras"):
        read_history(tmp_path, "alone")


@pytest.mark.long
@pytest.mark.parametrize(("kind", "num_kills"), [("text", 20), ("image", 4)])
def test_killed_at_many_moments(kind, num_kills, tmp_path):
    """A whole job, of thousands of texts: every weight and every round of the log are equal."""
    command = [sys.executable, KILL_JOBS, kind, tmp_path, str(num_kills)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    for name in ("alone", "distilled"):
        files = [tmp_path / run / name for run in ("whole", "killed")]
        models = [keras.models.load_model(file.with_suffix(".keras")) for file in files]
        for wanted, found in zip(*(model.get_weights() for model in models)):
            np.testing.assert_array_equal(found, wanted)
        whole, killed = (file.with_suffix(".csv").read_bytes() for file in files)
        assert whole == killed
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == sorted(
        path.name for path in (tmp_path / "whole").iterdir()
    )
