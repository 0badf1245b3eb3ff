"""Builds a store that is killed again and again; run by test_building.py.

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

NUM_SHARDS = 12


def build(folder):
    keras.utils.set_random_seed(0)
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(600, 4)).astype("float32")
    examples = tf.data.Dataset.from_tensor_slices(x)
    kd.TeacherStore.build(examples, teacher, folder, shards=NUM_SHARDS, batch_size=5, verbose=0)


def run(folder, num_shards=None):
    """Builds in a fork, which is killed soon after so many shards; returns whether it ended."""
    pid = os.fork()
    if pid == 0:
        build(folder)
        os._exit(0)
    if num_shards is not None:
        while len(list(folder.glob("shard_*"))) < num_shards:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return status == 0


def main(folder, num_kills):
    assert run(folder / "whole")
    num_killed = num_between = 0
    random.seed(0)
    while num_killed < num_kills:
        killed = folder / f"killed_{num_killed}"
        if run(killed, num_shards=NUM_SHARDS * num_killed // num_kills):
            # It was done before: another try, from the start.
            shutil.rmtree(killed)
            continue
        num_killed += 1
        num_between += 0 < len(list(killed.glob("shard_*"))) < NUM_SHARDS
        assert run(killed)
    print(num_between)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
