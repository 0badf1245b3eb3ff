"""Builds a store that is killed again and again; run by test_build.py.

    python kill_builds.py FOLDER NUM_KILLS

Every build is a fork of this process, whose TensorFlow has not started any thread yet.
"""

import os
import pathlib
import random
import shutil
import signal
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import tensorflow as tf

import keras_distill as kd


def build(folder):
    keras.utils.set_random_seed(0)
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(600, 4)).astype("float32")
    examples = tf.data.Dataset.from_tensor_slices(x)
    kd.TeacherStore.build(examples, teacher, folder, shards=12, batch_size=5, verbose=0)


def run(folder, kill_after=None):
    """Builds in a fork; returns whether it ended by itself."""
    pid = os.fork()
    if pid == 0:
        build(folder)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return status == 0


def main(folder, num_kills):
    start = time.time()
    assert run(folder / "whole")
    duration = time.time() - start
    num_killed = num_between = 0
    random.seed(0)
    while num_killed < num_kills:
        killed = folder / f"killed_{num_killed}"
        if run(killed, random.uniform(0.2, 1.0) * duration):
            # It was done before: another try, from the start.
            shutil.rmtree(killed)
            continue
        num_killed += 1
        num_between += 0 < len(list(killed.glob("shard_*"))) < 12
        assert run(killed)
    print(num_between)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
