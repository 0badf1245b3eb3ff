"""Trains in stages and is killed on the way; run by test_stages.py.

python kill_stages.py FOLDER NUMBER_OF_EPOCHS_BEFORE_THE_KILL|none
"""

import os
import pathlib
import signal
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import test_stages

from keras_distill.teaching import fit_stages


def main(folder, kill):
    begun = []

    def begin(epoch, logs):
        begun.append(epoch)
        if str(len(begun) - 1) == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    teacher, student = test_stages.network(1, width=6), test_stages.network(2)
    fit_stages(
        test_stages.two_stages(student),
        test_stages.X,
        test_stages.Y,
        student=student,
        teacher=teacher,
        directory=folder / "run",
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=begin)],
        **test_stages.FIT,
    )
    np.savez(folder / "weights.npz", *student.get_weights())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
