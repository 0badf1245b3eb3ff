"""Scales the images of a job, always in the same way as Keras."""

import numpy as np
import tensorflow as tf

# Largest number of pixels that are scaled at once, in float32.
_MAX_PIXELS = 2**24


def scaled(pixels, size):
    """Images of another size, as `keras.utils.image_dataset_from_directory` scales them.

    The interpolation is bilinear between four pixels, without antialiasing. Height and width are
    scaled independently, as in `keras.layers.Resizing`. The values are rounded.

    Args:
        pixels: uint8 `(images, height, width, channels)`.
        size: `(height, width)`. None means that images are not scaled.
    """
    if size is None or pixels.shape[1:3] == tuple(size):
        return pixels
    result = np.empty((len(pixels), *size, pixels.shape[3]), "uint8")
    step = max(1, _MAX_PIXELS // max(np.prod(pixels.shape[1:3]), np.prod(size)))
    for start in range(0, len(pixels), step):
        part = tf.image.resize(pixels[start : start + step], size).numpy()
        np.rint(part, out=part)
        result[start : start + step] = part
    return result
