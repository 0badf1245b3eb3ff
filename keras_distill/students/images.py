"""A student for images: a small network of separable convolutions."""

import keras

from keras_distill._arguments.checks import are_sizes
from keras_distill._arguments.checks import check_image_shape
from keras_distill._arguments.checks import check_integers
from keras_distill._arguments.checks import check_rates

_LARGE = 64


def mobile_cnn(
    input_shape, num_classes, *, width=32, depths=(1, 2, 2), dropout=0.0, name="mobile_cnn"
):
    """A small MobileNet of depthwise 3 x 3 and pointwise 1 x 1 convolutions.

    ```
    x = pixels / 127.5 - 1
    x = stem(x)                                3 x 3, `width` channels
    x = stage_i(x)                             i = 0, 1, ...: half the size, twice the channels
    logits = dense(dropout(mean over the image of x))
    ```

    Every convolution is followed by batch normalization and a ReLU6. The stem also halves
    images of 64 pixels or more. Objectives can tap the layers "stem", "stage_0", ... and
    "features".

    Args:
        input_shape: `(height, width, channels)`, of pixels from 0 to 255.
        num_classes: Number of classes; 1 for regression.
        width: Channels of the stem.
        depths: Number of separable convolutions in each stage.
        dropout: Dropout rate before the logits, in [0, 1).
        name: Name of the model.

    Returns:
        A Functional `keras.Model` from images (batch, height, width, channels) to logits
        (batch, num_classes).

    Raises:
        ValueError: If an argument does not fit.

    Example:

    >>> student = mobile_cnn((32, 32, 3), 10, width=8)
    >>> student.output_shape
    (None, 10)

    Reference: Howard et al. 2017, https://arxiv.org/abs/1704.04861. Deviations: fewer and
    narrower stages, scaling of the pixels inside the model, and optional dropout.
    """
    check_integers(num_classes=num_classes, width=width)
    check_rates(with_one=False, dropout=dropout)
    if not are_sizes(depths) or not depths:
        raise ValueError(f"depths must be integers of at least 1. Received: depths={depths!r}")
    check_image_shape(input_shape, len(depths))
    images = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    strides = 2 if min(input_shape[:2]) >= _LARGE else 1
    x = keras.layers.Conv2D(width, 3, strides, padding="same", use_bias=False)(x)
    x = _activated(x, "stem")
    for number, depth in enumerate(depths):
        width *= 2
        for place in range(depth):
            strides = 2 if place == 0 else 1
            x = keras.layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False)(x)
            x = _activated(x)
            x = keras.layers.Conv2D(width, 1, use_bias=False)(x)
            x = _activated(x, f"stage_{number}" if place == depth - 1 else None)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(images, keras.layers.Dense(num_classes, name="logits")(x), name=name)


def _activated(x, name=None):
    # With Keras's default of 0.99, the statistics lag behind by a thousand steps.
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    return keras.layers.ReLU(6.0, name=name)(x)
