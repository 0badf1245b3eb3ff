"""MNIST and data sets in its format, from a folder of their four idx .gz files."""

import gzip

import numpy as np


def load(folder):
    """Returns images (n, 28, 28, 1) in 0 to 1 and labels, of training and test set."""
    arrays = []
    for part in ("train", "t10k"):
        images = _read(folder / f"{part}-images-idx3-ubyte.gz", 16)
        labels = _read(folder / f"{part}-labels-idx1-ubyte.gz", 8)
        arrays += [images.reshape(-1, 28, 28, 1).astype("float32") / 255, labels.astype("int32")]
    return arrays


def _read(path, offset):
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), "uint8", offset=offset)
