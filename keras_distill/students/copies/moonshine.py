"""Moonshine: a student with its teacher's architecture, but cheaper convolutions."""

import keras

from keras_distill._arguments.checks import check_integer
from keras_distill._keras.layers import flatten_layers
from keras_distill.students.copies.rebuilding import copied
from keras_distill.students.copies.rebuilding import is_graph
from keras_distill.students.copies.rebuilding import made_again
from keras_distill.students.copies.rebuilding import rebuild

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_ANY_CONVOLUTION = (
    *_CONVOLUTIONS,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
_DEPTHWISE = {
    keras.layers.Conv1D: keras.layers.DepthwiseConv1D,
    keras.layers.Conv2D: keras.layers.DepthwiseConv2D,
}


def moonshine(model, *, groups=1, bottleneck=1, name="moonshine"):
    """Copies a network, with a cheaper block in place of each convolution larger than 1 x 1.

    ```
    G(g)       k x k in g groups, 1 x 1                         groups=g
    B(b)       1 x 1 to n / b, k x k, 1 x 1 to n                bottleneck=b
    BG(b, g)   1 x 1 to n / b, k x k in g groups, 1 x 1 to n    bottleneck=b, groups=g
    ```

    n is the number of the convolution's filters. The k x k convolution has the strides, padding
    and dilation of the convolution that it replaces; batch normalization and ReLU are between the
    parts. The last 1 x 1 has the name, bias and activation of the convolution, so its output has
    the shape of the teacher's layer with that name, and objectives need no projector.

    All weights are new and trainable: train the student from scratch, in the paper by attention
    transfer. Layers with `adapt`, such as Normalization, keep their adapted state.

    Convolutions in nested Functional and Sequential models are replaced, too. These are not
    replaced: other layers; 1 x 1, grouped, depthwise, separable and transposed convolutions;
    your own subclasses of convolutions; convolutions inside your own layers, or wrapped by another
    layer such as TimeDistributed; and, as in the paper, the first convolution after an input.

    To train on a CPU, use `groups="depthwise"` and `compile(jit_compile=False)`: TensorFlow's
    gradients of other grouped convolutions are slow there, and slower with more groups.

    Args:
        model: The teacher, a Functional or Sequential `keras.Model`. It is not changed.
        groups: Number of groups, a divisor of the number of channels that the k x k convolution
            reads and writes; "depthwise" for one group per channel. Defaults to 1.
        bottleneck: Divisor of the number of filters. Defaults to 1, which means no bottleneck.
        name: Name of the student.

    Returns:
        A Functional `keras.Model` with the model's inputs and outputs.

    Raises:
        ValueError: If an argument does not fit, or nothing can be replaced.

    Example:

    >>> from keras_distill.students import plain_cnn
    >>> teacher = plain_cnn((32, 32, 3), 10, num_layers=6, filters=64)
    >>> student = moonshine(teacher, groups=16)
    >>> teacher.count_params(), student.count_params()
    (188234, 37194)

    Reference: Crowley et al. 2018, https://arxiv.org/abs/1711.02613. Deviations: each convolution
    is replaced separately, as in the authors' code; a grouped convolution without a bottleneck
    keeps the number of channels that it reads.
    """
    if groups != "depthwise":
        groups = check_integer("groups", groups)
    bottleneck = check_integer("bottleneck", bottleneck)
    if groups == 1 and bottleneck == 1:
        raise ValueError(
            "One of groups and bottleneck must be more than 1, or nothing gets cheaper. Received: "
            f"groups={groups!r}, bottleneck={bottleneck!r}"
        )
    rebuilding = _Rebuilding(groups, bottleneck)
    student = rebuild(model, _untrained, rebuilding.call)
    if not rebuilding.num_replaced:
        raise ValueError(
            "model must have a convolution of more than 1 x 1 behind the first one. Received: "
            f"{model.name!r} with the layers {[layer.name for layer in model.layers]}"
        )
    return keras.Model(student.input, student.output, name=name)


class _Rebuilding:
    """Replaces convolutions while a model is rebuilt.

    Args:
        groups, bottleneck: As in `moonshine`.
        is_behind: Whether a convolution comes before the model.
    """

    def __init__(self, groups, bottleneck, is_behind=False):
        self._groups, self._bottleneck, self._is_behind = groups, bottleneck, is_behind
        # Tensors that come after a convolution, by id.
        self._behind = {}
        # Replacements by the id of a layer, because a layer may be called again.
        self._places = {}
        self.num_replaced = 0

    def call(self, layer, *args, **kwargs):
        inputs = keras.tree.flatten((args, kwargs))
        is_behind = self._is_behind or any(id(x) in self._behind for x in inputs)
        if id(layer) not in self._places:
            self._places[id(layer)] = self._in_place_of(layer, inputs[0], is_behind)
        first, *rest = self._places[id(layer)]
        outputs = first(*args, **kwargs)
        for part in rest:
            outputs = part(outputs)
        if is_behind or _has(layer, _ANY_CONVOLUTION):
            self._behind |= {id(x): x for x in keras.tree.flatten(outputs)}
        return outputs

    def _in_place_of(self, layer, x, is_behind):
        if is_graph(layer) and _has(layer, _CONVOLUTIONS):
            inside = _Rebuilding(self._groups, self._bottleneck, is_behind)
            rebuilt = rebuild(layer, _untrained, inside.call)
            self.num_replaced += inside.num_replaced
            return [rebuilt]
        if is_behind and _is_replaced(layer):
            self.num_replaced += 1
            return self._block(layer, x.shape[_axis(layer)])
        return [layer]

    def _block(self, layer, num_channels):
        convolution, name = type(layer), layer.name
        if layer.filters % self._bottleneck:
            raise ValueError(
                f"bottleneck must divide the number of filters of {name!r}, {layer.filters}. "
                f"Received: bottleneck={self._bottleneck}"
            )
        parts = []
        kept = {"use_bias": False, "data_format": layer.data_format, "dtype": layer.dtype_policy}
        of_kernel = {key: getattr(layer, f"kernel_{key}") for key in ("regularizer", "constraint")}
        settings = kept | {f"kernel_{key}": value for key, value in of_kernel.items()}
        if self._bottleneck > 1:
            num_channels = layer.filters // self._bottleneck
            parts.append(convolution(num_channels, 1, name=f"{name}_narrow", **settings))
            parts += _normalized(layer, "narrow")
        spatial = {
            "kernel_size": layer.kernel_size,
            "strides": layer.strides,
            "padding": layer.padding,
            "dilation_rate": layer.dilation_rate,
            "name": f"{name}_spatial",
        }
        groups = num_channels if self._groups == "depthwise" else self._groups
        if num_channels % groups:
            raise ValueError(
                f"groups must divide the {num_channels} channels of the {layer.kernel_size} "
                f"convolution in place of {name!r}. Received: groups={self._groups}"
            )
        # Keras has no causal depthwise convolution, and none with three axes.
        if groups == num_channels and layer.padding != "causal" and convolution in _DEPTHWISE:
            of_depthwise = {f"depthwise_{key}": value for key, value in of_kernel.items()}
            parts.append(_DEPTHWISE[convolution](**spatial, **kept, **of_depthwise))
        else:
            parts.append(convolution(num_channels, groups=groups, **spatial, **settings))
        parts += _normalized(layer, "spatial")
        of_point = {"kernel_size": 1, "strides": 1, "padding": "valid", "dilation_rate": 1}
        return [*parts, made_again(layer, **of_point)]


def _untrained(layer):
    """A trainable copy, even if the layer is frozen, as a teacher's layers are."""
    new = copied(layer)
    if isinstance(new, keras.layers.Layer):
        new.trainable = True
    return new


def _normalized(layer, place):
    name, settings = f"{layer.name}_{place}", {"dtype": layer.dtype_policy}
    return [
        # The authors' code has 0.9; with Keras's 0.99, statistics lag by a thousand steps.
        keras.layers.BatchNormalization(
            _axis(layer), momentum=0.9, name=f"{name}_normalization", **settings
        ),
        keras.layers.ReLU(name=f"{name}_relu", **settings),
    ]


def _axis(layer):
    return -1 if layer.data_format == "channels_last" else 1


def _is_replaced(layer):
    return type(layer) in _CONVOLUTIONS and layer.groups == 1 and max(layer.kernel_size) > 1


def _has(layer, kinds):
    """Whether a layer is of these kinds, or contains one of them."""
    is_layer = isinstance(layer, keras.layers.Layer)
    return is_layer and any(isinstance(inside, kinds) for inside in flatten_layers(layer))
