"""Training that knows of 8 bits: weights and activations are rounded as an int8 file does."""

import contextlib

import keras
import tensorflow as tf
from keras import ops

from keras_distill.layer_calls import replaced_calls

# Axes of a kernel, or of embeddings, that share a step size; the others have one for each place.
_SHARED_AXES = {
    keras.layers.Dense: (0,),
    keras.layers.Conv1D: (0, 1),
    keras.layers.Conv2D: (0, 1, 2),
    keras.layers.DepthwiseConv1D: (0, 1),
    keras.layers.DepthwiseConv2D: (0, 1),
    keras.layers.Embedding: (0, 1),
}
# Not in the file, or one operation there with the product before.
_GONE_OR_FUSED = (
    keras.layers.InputLayer,
    keras.layers.Dropout,
    keras.layers.BatchNormalization,
    keras.layers.ReLU,
)
# Against a division by zero.
_TINY = 1e-30


@contextlib.contextmanager
def quantization_aware(model):
    """Rounds a model to 8 bits within a with block, in training and in inference.

    The student learns to be right in spite of the rounding; after the block it is the
    plain float32 model again, with the weights that it learnt. Write its file with
    `export_tflite(student, path, quantization="int8", representative_data=...)`.

    Fine-tune a student that is trained already, at a tenth of its learning rate or less,
    and under its teacher:

    ```python
    with kd.students.quantization_aware(distiller):
        distiller.fit(dataset, epochs=1)
    ```

    Rounded, each to 255 steps: kernels of Dense, EinsumDense and convolutions, one step
    size for each output; embedding tables, one step size; the inputs of every layer that
    TFLite does not fuse with the one before; the outputs of EinsumDense. The gradient
    passes as if nothing was rounded. Not rounded: the inside of RNNs and of normalizations,
    the model's own output, and what has no layer, such as `x + y`. Where these lose the
    accuracy, as in a transformer measured on SST-2, the block does not bring it back.

    Args:
        model: A `Distiller`, whose student it then is, or any `keras.Model`. The train,
            test and predict functions of both are made anew at both ends of the block.

    Raises:
        ValueError: If the model has nothing to round.

    Reference: Jacob et al. 2018, https://arxiv.org/abs/1712.05877. Deviations: the range
    of an activation is that of the batch, not a moving average, so the model needs no
    variables of its own; biases are not rounded; BatchNormalization is not folded into
    the kernel, whose rounding for each output is the same before and after it.
    """
    student = getattr(model, "student", model)
    layers = [layer for layer in student._flatten_layers() if _is_rounded(layer)]
    if not any(_kernels(layer) for layer in layers):
        raise ValueError(
            "model must have a layer with a kernel or embeddings to round. Received: "
            f"{student.name!r} with the layers {[layer.name for layer in layers]}."
        )
    compiled = [model] if student is model else [model, student]
    _forget_functions(compiled)
    try:
        with replaced_calls(layers, _rounding_call):
            yield
    finally:
        _forget_functions(compiled)


def _is_rounded(layer):
    is_leaf = len(list(layer._flatten_layers())) == 1
    is_gone_or_fused = isinstance(layer, _GONE_OR_FUSED) or (
        isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.relu
    )
    return is_leaf and not is_gone_or_fused


def _forget_functions(models):
    for model in models:
        model.train_function = model.test_function = model.predict_function = None


def _rounding_call(layer, call):
    kernels = _kernels(layer)

    def rounding_call(*args, **kwargs):
        args, kwargs = keras.tree.map_structure(_round_activation, (args, kwargs))
        rounded = [(kernel, _round_kernel(kernel, axes)) for kernel, axes in kernels]
        with keras.StatelessScope(rounded) if rounded else contextlib.nullcontext():
            outputs = call(*args, **kwargs)
        if isinstance(layer, keras.layers.EinsumDense):
            # Attention multiplies them without a layer in between.
            outputs = _round_activation(outputs)
        return outputs

    return rounding_call


def _kernels(layer):
    """Pairs of a variable and the axes that share a step size."""
    kernels = [weight for weight in layer.weights if weight.name in ("kernel", "embeddings")]
    if isinstance(layer, keras.layers.EinsumDense):
        terms, output = layer.equation.replace("...", "").split("->")
        letters = terms.split(",")[1].strip()
        axes = tuple(axis for axis, letter in enumerate(letters) if letter not in output)
        return [(kernel, axes) for kernel in kernels]
    for kind, axes in _SHARED_AXES.items():
        if isinstance(layer, kind):
            return [(kernel, axes) for kernel in kernels]
    return []


def _round_kernel(kernel, axes):
    """Symmetric: -127 to 127 steps."""
    values = ops.cast(kernel, "float32")
    step = ops.max(ops.abs(values), axis=axes, keepdims=True) / 127.0
    return _straight_through(values, ops.round(values / (step + _TINY)) * step)


def _round_activation(values):
    """255 steps from the smallest to the largest number of the batch; 0 is one of them."""
    if not (tf.is_tensor(values) and values.dtype.is_floating):
        return values
    exact = ops.cast(values, "float32")
    lowest, highest = ops.minimum(ops.min(exact), 0.0), ops.maximum(ops.max(exact), 0.0)
    step = (highest - lowest) / 255.0 + _TINY
    zero = ops.round(-lowest / step)
    steps = ops.clip(ops.round(exact / step) + zero, 0.0, 255.0)
    return ops.cast(_straight_through(exact, (steps - zero) * step), values.dtype)


def _straight_through(values, rounded):
    return values + ops.stop_gradient(rounded - values)
