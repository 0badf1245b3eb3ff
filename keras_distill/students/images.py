"""Students for images: small convolutions, plain networks of any width and depth."""

import bisect
import itertools

import keras

from keras_distill._arguments.checks import check_image_shape
from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_rate
from keras_distill._arguments.checks import check_sizes

_LARGE = 64
_NORMALIZED = 4  # Weights of a channel's BatchNormalization.


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
    num_classes = check_integer("num_classes", num_classes)
    width = check_integer("width", width)
    dropout = check_rate("dropout", dropout, with_one=False)
    depths = check_sizes("depths", depths)
    input_shape = check_image_shape("input_shape", input_shape, len(depths))
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


def plain_cnn(
    input_shape,
    num_classes,
    *,
    num_layers,
    filters=None,
    num_parameters=None,
    num_stages=2,
    name="plain_cnn",
):
    """A stack of 3 x 3 convolutions of any depth and width.

    ```
    x = pixels / 127.5 - 1
    x = relu(batch_normalization(conv(x)))       num_layers times: "hidden_1", "hidden_2", ...
    logits = dense(mean over the image of x)
    ```

    The layers are distributed over `num_stages` stages (the first stages may have one layer more),
    and each stage ends in a 2 x 2 max pooling. With `num_parameters` in place of `filters`, layers
    have the most channels that this number of parameters allows: all layers have the same number,
    or the first ones have one more. So you can compare shallow and deep students of equal size:

    ```python
    deep = kd.students.plain_cnn((32, 32, 3), 10, num_layers=10, filters=24)
    size = deep.count_params()
    wide = kd.students.plain_cnn((32, 32, 3), 10, num_layers=2, num_parameters=size)
    ```

    Args:
        input_shape: `(height, width, channels)`, of pixels from 0 to 255.
        num_classes: Number of classes; 1 for regression.
        num_layers: Number of convolutions.
        filters: Number of channels of each; or give `num_parameters`.
        num_parameters: Largest number of parameters, as counted by `count_params()`.
        num_stages: Number of stages and of pooling layers, at most `num_layers`. Defaults to 2.
        name: Name of the model.

    Returns:
        A Functional `keras.Model` from images (batch, height, width, channels) to logits
        (batch, num_classes).

    Raises:
        ValueError: If an argument does not fit, or the number of parameters is too small.

    Example:

    >>> student = plain_cnn((28, 28, 1), 10, num_layers=8, num_parameters=20_000)
    >>> student.count_params()
    19888

    Reference: Romero et al. 2015, FitNets (deep and thin), https://arxiv.org/abs/1412.6550; Ba &
    Caruana 2014 (shallow and wide), https://arxiv.org/abs/1312.6184. Deviations: batch
    normalization and ReLU instead of maxout; a mean over the image instead of dense layers.
    """
    num_classes = check_integer("num_classes", num_classes)
    num_layers = check_integer("num_layers", num_layers)
    num_stages = check_integer("num_stages", num_stages)
    input_shape = check_image_shape("input_shape", input_shape, num_stages)
    if num_stages > num_layers:
        raise ValueError(
            "num_stages must be at most num_layers: each has a layer. Received: "
            f"num_stages={num_stages}, num_layers={num_layers}"
        )

    def count(widths):
        inputs = (input_shape[2], *widths)
        hidden = sum(9 * n * m + _NORMALIZED * m for n, m in zip(inputs, widths))
        return hidden + (widths[-1] + 1) * num_classes

    images = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    ends = {num_layers - num_layers * stage // num_stages for stage in range(num_stages)}
    widths = _widths("filters", filters, num_layers, num_parameters, count)
    for number, channels in enumerate(widths, start=1):
        convolution = {"padding": "same", "use_bias": False, "name": f"conv_{number}"}
        x = keras.layers.Conv2D(channels, 3, **convolution)(x)
        # With Keras's default of 0.99, the statistics lag behind by a thousand steps.
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU(name=f"hidden_{number}")(x)
        if number in ends:
            x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(images, keras.layers.Dense(num_classes, name="logits")(x), name=name)


def mlp(
    input_shape,
    num_classes,
    *,
    num_layers,
    hidden_dim=None,
    num_parameters=None,
    bottleneck_dim=None,
    name="mlp",
):
    """Dense layers with ReLU, of any depth and width.

    ```
    x = flatten(x), then a linear layer to `bottleneck_dim` if given
    x = relu(dense(x))                           num_layers times: "hidden_1", "hidden_2", ...
    logits = dense(x)
    ```

    `num_parameters` in place of `hidden_dim` works as in `plain_cnn`. If there are many inputs,
    most parameters of a shallow net read them; with a linear bottleneck, more are left for the
    hidden layers.

    Args:
        input_shape: Shape of an example, without open axes.
        num_classes: Number of classes; 1 for regression.
        num_layers: Number of hidden layers.
        hidden_dim: Number of units of each; or give `num_parameters`.
        num_parameters: Largest number of parameters of the model.
        bottleneck_dim: Units of a linear layer before the first hidden layer. Defaults to None,
            which means no such layer.
        name: Name of the model.

    Returns:
        A Functional `keras.Model` from (batch, *input_shape) to logits (batch, num_classes).

    Raises:
        ValueError: If an argument does not fit, or the number of parameters is too small.

    Example:

    >>> student = mlp((20,), 3, num_layers=1, num_parameters=2_000)
    >>> student.get_layer("hidden_1").units, student.count_params()
    (83, 1995)

    Reference: Ba & Caruana 2014, https://arxiv.org/abs/1312.6184.
    """
    num_classes = check_integer("num_classes", num_classes)
    num_layers = check_integer("num_layers", num_layers)
    input_shape = check_sizes("input_shape", input_shape)
    bottleneck_dim = check_integer("bottleneck_dim", bottleneck_dim, optional=True)
    features = keras.Input(input_shape, name="features")
    x = keras.layers.Flatten()(features)
    num_inputs = x.shape[-1]
    fixed = 0
    if bottleneck_dim is not None:
        x = keras.layers.Dense(bottleneck_dim, name="bottleneck")(x)
        fixed, num_inputs = (num_inputs + 1) * bottleneck_dim, bottleneck_dim

    def count(widths):
        sizes = (num_inputs, *widths, num_classes)
        return fixed + sum((n + 1) * m for n, m in itertools.pairwise(sizes))

    widths = _widths("hidden_dim", hidden_dim, num_layers, num_parameters, count)
    for number, units in enumerate(widths, start=1):
        x = keras.layers.Dense(
            units, activation="relu", kernel_initializer="he_normal", name=f"hidden_{number}"
        )(x)
    return keras.Model(features, keras.layers.Dense(num_classes, name="logits")(x), name=name)


def _widths(argument, width, num_layers, num_parameters, count):
    """The width of each layer; `count` gives the model's number of parameters for widths."""
    if (width is None) == (num_parameters is None):
        raise ValueError(
            f"One of {argument} and num_parameters must be given. Received: "
            f"{argument}={width!r}, num_parameters={num_parameters!r}"
        )
    if num_parameters is None:
        width = check_integer(argument, width)
        return (width,) * num_layers
    num_parameters = check_integer("num_parameters", num_parameters)

    def dealt_out(total):
        share, more = divmod(total, num_layers)
        return tuple(share + (place < more) for place in range(num_layers))

    if count(dealt_out(num_layers)) > num_parameters:
        raise ValueError(
            f"num_parameters must be {count(dealt_out(num_layers))} or more for {num_layers} "
            f"layers. Received: num_parameters={num_parameters}"
        )
    totals = range(num_layers, num_parameters + 1)
    place = bisect.bisect_right(totals, num_parameters, key=lambda n: count(dealt_out(n)))
    return dealt_out(totals[place - 1])
