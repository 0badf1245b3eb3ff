"""Net2Net: a wider or deeper network that computes the same function as the original."""

import keras
import numpy as np

from keras_distill._arguments.checks import check_at_least
from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_sizes
from keras_distill._arguments.checks import is_integer
from keras_distill._keras.layers import flatten_layers
from keras_distill.students.copies.rebuilding import as_functional
from keras_distill.students.copies.rebuilding import copied
from keras_distill.students.copies.rebuilding import has_plain_weights
from keras_distill.students.copies.rebuilding import rebuild
from keras_distill.students.copies.widening import CONVOLUTIONS
from keras_distill.students.copies.widening import Widening
from keras_distill.students.copies.widening import copy_weights
from keras_distill.students.copies.widening import described
from keras_distill.students.copies.widening import is_elementwise
from keras_distill.students.copies.widening import is_product

_IDEMPOTENT = (keras.activations.linear, keras.activations.relu, keras.activations.relu6)


def net2net_wider(model, layer_name, width, *, noise=0.0, seed=0):
    """Widens a layer but keeps the model's function: new channels are copies of old ones.

    ```
    g = (0, ..., n - 1, then width - n random ones of them)     n: the layer's width so far
    kernel[..., j]       of the layer: that of channel g(j)
    kernel[..., j, :]    of the layers that read it: that of g(j) / number of copies of g(j)
    ```

    Between the layer and the Dense and Conv layers that read it, there may be activations, pooling,
    dropout, batch normalization, depthwise convolutions, concatenations and Flatten, in any order.
    All must be Keras's own layers: subclasses may compute something else.

    Args:
        model: A Functional or Sequential `keras.Model`. It is not changed.
        layer_name: Name of a Dense, Conv1D, Conv2D or Conv3D layer.
        width: The layer's new number of units or filters, larger than the old one.
        noise: Standard deviation of normal noise on the copies' kernels, relative to that of
            the layer's kernel. Without noise, two equal channels stay equal in training,
            unless dropout makes them differ; with noise, the function is kept only
            approximately. Defaults to 0.
        seed: Seed of the choice and of the noise; None is a new one each time. Defaults to 0.

    Returns:
        A Functional `keras.Model`; its other weights equal those of `model`.

    Raises:
        ValueError: If an argument does not fit, or the layer's output reaches a layer where its
            channels cannot be copied, such as the Add of a residual connection.

    Example:

    >>> from keras_distill.students import mlp
    >>> student = mlp((20,), 3, num_layers=2, hidden_dim=8)
    >>> wider = net2net_wider(student, "hidden_1", 12, seed=0)
    >>> wider.get_layer("hidden_1").units
    12

    Reference: Chen et al. 2016, Net2Net, https://arxiv.org/abs/1511.05641, section 2.2.
    Deviation: the noise is relative to the kernel's standard deviation.
    """
    layer = _layer(model, layer_name)
    width = check_integer("width", width)
    if not is_product(layer) or not is_elementwise(layer):
        raise ValueError(
            "layer_name must name a Dense or Conv layer that is not grouped, in channels_last, of "
            "Keras's own class, with an activation of each channel by itself. Received: "
            f"{described(layer)}"
        )
    if not has_plain_weights(layer):
        raise ValueError(
            "layer_name must name a layer without LoRA or quantization, whose kernel can be "
            f"widened. Received: {described(layer)}"
        )
    num_channels = layer.kernel.shape[-1]
    if width <= num_channels:
        raise ValueError(
            f"width must be more than the {num_channels} of {layer_name!r}. Received: {width=}"
        )
    noise = check_at_least("noise", noise)
    seed = check_integer("seed", seed, minimum=0, optional=True)
    rng = np.random.default_rng(seed)
    copies = rng.integers(0, num_channels, width - num_channels)
    widening = Widening(layer, np.concatenate([np.arange(num_channels), copies]))
    wider = rebuild(model, widening.clone, widening.call)
    widening.check_outputs(wider)
    widening.set_weights()
    if noise:
        kernel = np.array(wider.get_layer(layer_name).kernel)
        spread = noise * np.std(kernel)
        kernel[..., num_channels:] += rng.normal(0, spread, kernel[..., num_channels:].shape)
        wider.get_layer(layer_name).kernel.assign(kernel)
    return wider


def net2net_deeper(model, layer_name, *, kernel_size=None, normalization_data=None, name=None):
    """Inserts an identity layer after another layer, which makes the model deeper.

    ```
    relu(I relu(x)) = relu(x)        I: a Dense or Conv layer that gives back what it reads
    ```

    After a Dense layer, or an activation of features (batch, features), the new layer is a Dense
    layer; otherwise it is a convolution, which is causal if the layer is or, after an activation,
    if any convolution of the model is. The activation follows as a separate layer. All have the
    layer's dtype.

    Args:
        model: A Functional or Sequential `keras.Model`. It is not changed.
        layer_name: Name of a Dense or Conv layer, or of an Activation or ReLU, whose activation
            is linear, relu or relu6: applying these twice is the same as once.
        kernel_size: Size of the new convolution along each axis. Defaults to that of the layer,
            or to 3 after an activation.
        normalization_data: A batch of the model's inputs. If given, a BatchNormalization
            follows the new layer, with the means and variances of this batch, which its
            scale and shift undo: the function is kept in inference, and in training if
            batches are similar to this one. Defaults to None.
        name: Name of the new layer. Defaults to the layer's name with "_deeper".

    Returns:
        A Functional `keras.Model` with all weights of `model`, and the new ones.

    Raises:
        ValueError: If an argument does not fit, or the layer has another activation.

    Example:

    >>> from keras_distill.students import mlp
    >>> student = mlp((20,), 3, num_layers=2, hidden_dim=8)
    >>> deeper = net2net_deeper(student, "hidden_2")
    >>> deeper.get_layer("hidden_2_deeper").units
    8

    Reference: Chen et al. 2016, Net2Net, https://arxiv.org/abs/1511.05641, section 2.3.
    """
    layer = _layer(model, layer_name)
    name = f"{layer_name}_deeper" if name is None else name
    if not _is_idempotent(layer):
        raise ValueError(
            "layer_name must name a Dense or Conv layer, an Activation or a ReLU, in "
            "channels_last, of Keras's own class, with linear, relu or relu6: only those change "
            f"nothing when they come twice. Received: {described(layer)}"
        )
    if taken := {f"{name}{end}" for end in ("", "_normalization", "_activation")}.intersection(
        layer.name for layer in model.layers
    ):
        raise ValueError(f"name must be a new one. Received: {sorted(taken)}, which are layers.")
    width, rank = layer.output.shape[-1], len(layer.output.shape)
    # The new layer is not quantized, even if the old one is.
    dtype = layer.dtype_policy if layer.quantization_mode is None else layer.compute_dtype
    is_causal = rank == 3 and _is_causal(layer, model)
    if rank == 2 or type(layer) is keras.layers.Dense:
        inserted = [keras.layers.Dense(width, name=name, dtype=dtype)]
        size = ()
    else:
        size = kernel_size if kernel_size is not None else getattr(layer, "kernel_size", 3)
        size = (size,) * (rank - 2) if is_integer(size) else size
        message = (
            f"kernel_size must be an integer of 1 or more, or one for each of {rank - 2} axes."
        )
        size = check_sizes("kernel_size", size, rank - 2, message)
        convolution = CONVOLUTIONS[rank - 3]
        padding = "causal" if is_causal else "same"
        settings = {"padding": padding, "data_format": "channels_last", "dtype": dtype}
        inserted = [convolution(width, size, name=name, **settings)]
    if normalization_data is not None:
        normalization = {"name": f"{name}_normalization", "dtype": dtype}
        inserted.append(keras.layers.BatchNormalization(**normalization))
    inserted += _activation_again(layer, f"{name}_activation", dtype)
    pairs = []

    def clone(old):
        pairs.append((old, copied(old)))
        return pairs[-1][1]

    def call(new, *args, **kwargs):
        outputs = new(*args, **kwargs)
        if new.name == layer_name:
            for following in inserted:
                outputs = following(outputs)
        return outputs

    deeper = rebuild(model, clone, call)
    for old, new in pairs:
        copy_weights(old, new)
    kernel = np.zeros(inserted[0].kernel.shape, "float32")
    # padding="same" centres the kernel here; an even size has its centre at the earlier place.
    places = [length - 1 if is_causal else (length - 1) // 2 for length in size]
    kernel[tuple(places)] = np.eye(width)
    inserted[0].kernel.assign(kernel)
    if normalization_data is not None:
        until_layer = keras.Model(as_functional(model).input, layer.output)
        features = until_layer(normalization_data, training=False)
        _undo(inserted[1], np.asarray(features, "float64"))
    return deeper


def _layer(model, layer_name):
    layers = {layer.name: layer for layer in getattr(model, "layers", ())}
    if layer_name not in layers:
        raise ValueError(
            f"layer_name must name a layer of the model, not one of a model inside. Received: "
            f"{layer_name!r}, which is none of {list(layers)}"
        )
    return layers[layer_name]


def _is_idempotent(layer):
    if type(layer) is keras.layers.ReLU:
        return not layer.negative_slope and not layer.threshold
    is_known = is_product(layer) or type(layer) is keras.layers.Activation
    return is_known and layer.activation in _IDEMPOTENT


def _is_causal(layer, model):
    """Whether a convolution after the layer must be causal."""
    among = [layer] if is_product(layer) else flatten_layers(model)
    return any(getattr(one, "padding", None) == "causal" for one in among)


def _activation_again(layer, name, dtype):
    if type(layer) is keras.layers.ReLU:
        return [layer.__class__.from_config({**layer.get_config(), "name": name})]
    if layer.activation is keras.activations.linear:
        return []
    return [keras.layers.Activation(layer.activation, name=name, dtype=dtype)]


def _undo(normalization, features):
    axes = tuple(range(features.ndim - 1))
    means, variances = features.mean(axes), features.var(axes)
    normalization.moving_mean.assign(means)
    normalization.moving_variance.assign(variances)
    normalization.gamma.assign(np.sqrt(variances + normalization.epsilon))
    normalization.beta.assign(means)
