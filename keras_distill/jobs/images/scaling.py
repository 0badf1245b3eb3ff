"""The one way in which the images of a job are scaled: that of Keras."""

import numpy as np
import tensorflow as tf

# Of images that are scaled at once, in float32.
_MAX_PIXELS = 2**24


def scaled(pixels, size):
    """Images of another size, as `keras.utils.image_dataset_from_directory` scales them.

    Bilinear between four pixels, without a filter before it, and stretched: height and width are
    scaled each by itself. `keras.layers.Resizing` does the same. The values are rounded.

    Args:
        pixels: uint8 `(images, height, width, channels)`.
        size: `(height, width)`. None: they stay as they are.
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
