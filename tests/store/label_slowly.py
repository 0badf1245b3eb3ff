"""Labels with Beam so slowly that it can be stopped; run by test_beam.py.

python label_slowly.py FOLDER FLAG...
"""

import functools
import os
import pathlib
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf

import keras_distill as kd

SETTINGS = {"shards": 12, "version": "1"}


def make_dataset():
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    return tf.data.Dataset.from_tensor_slices(x)


def make_teacher(folder, seconds=0):
    """A teacher that tells in which process it was made."""
    (folder / f"process_{os.getpid()}").touch()

    def wait_and_double(x):
        time.sleep(seconds)
        return 2 * x

    return lambda x: tf.ensure_shape(tf.numpy_function(wait_and_double, [x], x.dtype), x.shape)


def main(folder):
    teacher = functools.partial(make_teacher, folder, seconds=0.2)
    kd.store.label_with_beam(make_dataset, teacher, folder / "store", **SETTINGS)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
