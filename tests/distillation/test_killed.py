"""`kill -9` while training and while saving: no epoch is lost or trained twice, no file torn."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_distill as kd

NUM_KILLS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    script = pathlib.Path(__file__).with_name("kill_training.py")
    command = [sys.executable, script, folder, str(NUM_KILLS)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        assert process.wait(timeout=240) == 0
    finally:
        # What it started is of its group, which is gone if all has ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return folder


@pytest.mark.long
def test_training_goes_on_behind_the_last_backup(folder):
    """Twice killed, from a store, with dropout and Adam: the weights of a run that was not."""
    expected = np.load(folder / "undisturbed" / "weights_0.npz")
    (path,) = (folder / "killed").glob("weights_*.npz")
    # What was left after the second kill.
    assert path.name in ("weights_4.npz", "weights_5.npz")
    found = np.load(path)
    assert len(found.files) == len(expected.files) == 4
    for name in expected.files:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5, rtol=0)
    (backup,) = (folder / "killed" / "backup").iterdir()
    assert backup.name == "epoch_000006.weights.h5"


@pytest.mark.long
@pytest.mark.parametrize("number", range(NUM_KILLS))
def test_a_file_that_is_replaced_is_whole(number, folder):
    """The earlier one or the next, whenever it is killed."""
    path = folder / f"saving_{number}"
    distiller = keras.models.load_model(path / "distiller.keras")
    assert isinstance(distiller, kd.Distiller)
    distiller.load_weights(path / "distiller.weights.h5")


class TestBackupAndRestore:
    def make(self):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.1), "mse")
        return model

    def fit(self, model, *callbacks):
        x = np.ones((4, 2), "float32")
        return model.fit(x, x[:, :1], epochs=3, verbose=0, callbacks=list(callbacks))

    def test_any_keras_model(self, tmp_path):
        """With the optimizer's moments; what is not a backup stays."""
        model, resumed = self.make(), self.make()
        resumed.set_weights(model.get_weights())
        (tmp_path / "notes").write_text("mine")

        def interrupt(epoch, logs):
            if epoch == 2:
                raise KeyboardInterrupt

        backup = kd.callbacks.BackupAndRestore(tmp_path)
        interruption = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
        with pytest.raises(KeyboardInterrupt):
            self.fit(resumed, backup, interruption)
        resumed = self.make()
        assert self.fit(resumed, kd.callbacks.BackupAndRestore(tmp_path)).epoch == [2]
        self.fit(model)
        for one, other in zip(model.get_weights(), resumed.get_weights()):
            np.testing.assert_allclose(one, other, atol=1e-6)
        assert [path.name for path in tmp_path.iterdir()] == ["notes"]

    def test_kept(self, tmp_path):
        """A fit that has ended does not train again."""
        model = self.make()
        self.fit(model, kd.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False))
        again = self.make()
        history = self.fit(again, kd.callbacks.BackupAndRestore(tmp_path / "backup"))
        assert not history.epoch
        for one, other in zip(model.get_weights(), again.get_weights()):
            np.testing.assert_array_equal(one, other)
