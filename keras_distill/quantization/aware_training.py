"""Quantization-aware training: weights and activations are rounded as in an int8 file."""

import contextlib
import functools

import keras
from keras import ops

from keras_distill._arguments.students import students_of
from keras_distill._keras.graph import operations_behind
from keras_distill._keras.layer_calls import replaced_calls
from keras_distill._keras.layers import flatten_layers
from keras_distill.quantization.calls import int8_calls
from keras_distill.quantization.rounding import round_activation
from keras_distill.quantization.rounding import round_kernel

# Axes of a kernel that share a step size in a file; other axes have one for each index.
_SHARED_AXES = {
    keras.layers.Dense: {"kernel": (0,)},
    keras.layers.Conv1D: {"kernel": (0, 1)},
    keras.layers.Conv2D: {"kernel": (0, 1, 2)},
    keras.layers.Conv1DTranspose: {"kernel": (0, 2)},
    keras.layers.Conv2DTranspose: {"kernel": (0, 1, 3)},
    keras.layers.DepthwiseConv1D: {"kernel": (0,)},
    keras.layers.DepthwiseConv2D: {"kernel": (0, 1)},
    keras.layers.SeparableConv1D: {"depthwise_kernel": (0,), "pointwise_kernel": (0, 1)},
    keras.layers.SeparableConv2D: {"depthwise_kernel": (0, 1), "pointwise_kernel": (0, 1, 2)},
}
# These layers are not in the file.
_GONE = (keras.layers.InputLayer, keras.layers.Dropout)


@contextlib.contextmanager
def quantization_aware(model):
    """Rounds a model to 8 bits within a with block, in training and in inference.

    The student learns to be accurate in spite of the rounding. After the block it is the
    plain float32 model again, with the learnt weights. Export it with
    `export_tflite(student, path, quantization="int8", representative_data=...)`.

    Fine-tune a trained student with its teacher. In benchmarks/int8_accuracy.py this takes as
    many steps as the training itself, at the same learning rate, without dropout:

    ```python
    with kd.students.quantization_aware(distiller):
        distiller.fit(dataset, epochs=2)
    ```

    These are rounded to 255 steps each: kernels of Dense, EinsumDense and convolutions, with one
    step size for each output; embedding tables; inputs and outputs of every layer, except
    those between a product and the BatchNormalization and relu that TFLite fuses with it;
    inner values of LayerNormalization and MultiHeadAttention. The gradient ignores the rounding
    (straight-through). These are not rounded: operations without a layer, such as `x + y`, before
    the next layer reads them; values between the two kernels of a separable convolution; kernels
    of convolutions over three axes, which are float32 in the file, and of recurrent layers.

    Args:
        model: A `Distiller` or `DataFree`, whose student is rounded; models that learn together,
            which are all rounded; or any `keras.Model`. Their train, test and predict functions
            are made anew at both ends of the block.

    Raises:
        ValueError: If the model has nothing to round.

    Reference: Jacob et al. 2018, https://arxiv.org/abs/1712.05877. Deviations: the range
    of an activation is that of the batch, not a moving average, so the model needs no
    additional variables; biases are not rounded; BatchNormalization is not folded into
    the kernel, because rounding for each output is the same before and after folding.
    """
    students = students_of(model)
    layers = [layer for s in students for layer in flatten_layers(s) if _is_rounded(layer)]
    if not any(_kernels(layer) for layer in layers):
        raise ValueError(
            "model must have a layer with a kernel or embeddings to round. Received: "
            f"{model.name!r} with the layers {[layer.name for layer in layers]}."
        )
    compiled = [model, *students]
    _forget_functions(compiled)
    try:
        with contextlib.ExitStack() as calls:
            for student in students:
                calls.enter_context(int8_calls(student, round_activation))
            calls.enter_context(replaced_calls(layers, _rounding_call))
            yield
    finally:
        _forget_functions(compiled)


def _is_rounded(layer):
    is_leaf = len(flatten_layers(layer)) == 1
    return is_leaf and not isinstance(layer, _GONE) and not _is_fused(layer)


def _is_fused(layer):
    """Whether TFLite fuses a layer with the product before it."""
    is_relu = isinstance(layer, keras.layers.ReLU) or (
        isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.relu
    )
    return is_relu or isinstance(layer, keras.layers.BatchNormalization)


def _forget_functions(models):
    for model in models:
        model.train_function = model.test_function = model.predict_function = None


def _rounding_call(layer, call):
    kernels = _kernels(layer)
    next_layers = operations_behind(layer)
    is_fused_with_next = bool(next_layers) and all(map(_is_fused, next_layers))
    is_exact = is_fused_with_next or isinstance(layer, keras.layers.Embedding)

    def rounding_call(*args, **kwargs):
        args, kwargs = keras.tree.map_structure(round_activation, (args, kwargs))
        rounded = [(kernel, round_values(kernel)) for kernel, round_values in kernels]
        with contextlib.ExitStack() as stack:
            if rounded:
                stack.enter_context(keras.StatelessScope(rounded))
                stack.enter_context(_rounded_before_activation(layer))
            outputs = call(*args, **kwargs)
        return outputs if is_exact else keras.tree.map_structure(round_activation, outputs)

    return rounding_call


@contextlib.contextmanager
def _rounded_before_activation(layer):
    """Only relu is fused with the product; other activations read a rounded product."""
    activation = getattr(layer, "activation", None)
    if activation in (None, keras.activations.linear, keras.activations.relu):
        yield
        return
    layer.activation = lambda x: activation(round_activation(x))
    try:
        yield
    finally:
        layer.activation = activation


def _kernels(layer):
    """Pairs of a variable and the function that rounds it."""
    rounded = [(w, _round_table) for w in layer.weights if w.name == "embeddings"]
    if isinstance(layer, keras.layers.EinsumDense):
        terms, output = layer.equation.replace("...", "").split("->")
        letters = terms.split(",")[1].strip()
        shared = tuple(axis for axis, letter in enumerate(letters) if letter not in output)
        axes = {"kernel": shared}
    else:
        axes = next((axes for kind, axes in _SHARED_AXES.items() if isinstance(layer, kind)), {})
    return rounded + [
        (w, functools.partial(round_kernel, axes=axes[w.name]))
        for w in layer.weights
        if w.name in axes
    ]


def _round_table(table):
    return round_activation(ops.cast(table, "float32"))
