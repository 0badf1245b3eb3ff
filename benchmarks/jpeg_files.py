"""CIFAR-10's images as lossy JPEG, from an .npz file of one prefix and the rest of each file."""

import numpy as np
import tensorflow as tf


def load(path, first=0, number=None):
    """Returns images (n, 32, 32, 3), uint8, and labels."""
    with np.load(path) as arrays:
        prefix, blob = arrays["prefix"].tobytes(), arrays["blob"].tobytes()
        offsets, labels = arrays["offsets"], arrays["labels"].astype("int32")
    labels = labels[first:] if number is None else labels[first : first + number]
    files = (prefix + blob[offsets[i] : offsets[i + 1]] for i in range(first, first + len(labels)))
    return np.stack([tf.io.decode_jpeg(file, channels=3).numpy() for file in files]), labels


def load_halved(path, number=None):
    """Returns images (n, 16, 16, 3) in 0 to 255, float32, and labels."""
    images, labels = load(path, number=number)
    return images.reshape(-1, 16, 2, 16, 2, 3).mean((2, 4), dtype="float32"), labels
