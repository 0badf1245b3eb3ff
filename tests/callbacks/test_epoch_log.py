"""Damaged files of a folder of stages: one error that names the file and says what to remove."""

import shutil

import keras
import numpy as np
import pytest

from keras_distill.callbacks.epoch_log import EpochLog
from keras_distill.teaching import Stage
from keras_distill.teaching import fit_stages

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = np.arange(8) % 2


def run(folder):
    keras.utils.set_random_seed(0)
    student, teacher = (
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]) for _ in range(2)
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    stages = [Stage(name, epochs=2, optimizer="sgd", loss=loss) for name in ("one", "two")]
    histories = fit_stages(
        stages, X, Y, student=student, teacher=teacher, directory=folder, seed=0, verbose=0
    )
    return histories, student.get_weights()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages") / "run"
    return folder, run(folder)


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("stage_1.json", b'{"0": {'),
        ("stage_1.json", b"[]"),
        ("stage_1.json", b'{"0": 3, "1": 3}'),
        ("stage_1.json", b'{"x": {"loss": 1}}'),
        ("stage_1.json", b'{"0": {"loss": "abc"}}'),
        ("stage_1.json", b"[" * 100_000),
        ("stage_1.json", b"{}"),  # The history was empty, without a word.
        ("stage_1.json", None),
        ("stage_1.weights.h5", b""),
        ("stage_1.weights.h5", b"HDF" * 1000),
    ],
)
def test_damaged(name, content, done, tmp_path):
    folder, expected = done
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}.* Remove stage_1.weights.h5 and") as error:
        run(copy)
    assert "\n" not in str(error.value)
    # The remedy.
    for left in copy.glob("stage_?.weights.h5"):
        left.unlink()
    histories, weights = run(copy)
    assert histories == expected[0]
    np.testing.assert_array_equal(weights[0], expected[1][0])


def test_what_is_trained_again_is_forgotten(tmp_path):
    """Of a longer training before, the last epochs stayed in the history."""
    path = tmp_path / "log.json"
    path.write_text('{"0": {"loss": 3.0}, "1": {"loss": 2.0}, "2": {"loss": 1.0}}')
    log = EpochLog(path, num_epochs=1, remedy="Remove it.")
    log.on_epoch_end(1, {"loss": 5.0})
    assert log.history() == {"loss": [3.0, 5.0]}
    assert EpochLog(path, num_epochs=None, remedy="Remove it.").num_epochs == 2
    assert EpochLog(path, num_epochs=0, remedy="Remove it.").num_epochs == 0
    with pytest.raises(ValueError, match=r"of 3 at least. Received: 2 epochs. Remove it."):
        EpochLog(path, num_epochs=3, remedy="Remove it.")


def test_a_table(tmp_path):
    """Written by Keras's CSVLogger, with a column for a validation that did not take place."""
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss,val_loss\n0,3.0,NA\n1,2.0,NA\n")
    log = EpochLog(path, num_epochs=1, remedy="Remove it.")
    log.on_epoch_end(1, {"loss": np.float32(0.5), "accuracy": 1.0})
    assert path.read_text() == "epoch,accuracy,loss\n0,NA,3.0\n1,1.0,0.5\n"
    assert log.history() == {"loss": [3.0, 0.5], "accuracy": [1.0]}
    assert EpochLog(path, num_epochs=None, remedy="").history() == log.history()
