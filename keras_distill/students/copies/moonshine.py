"""Moonshine: a student that is its teacher, with cheaper convolutions."""

import keras

from keras_distill._arguments.checks import check_integers
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
    """Copies a network and puts a cheaper block in place of each convolution of more than 1 x 1.

    ```
    G(g)       k x k in g groups, 1 x 1                         groups=g
    B(b)       1 x 1 to n / b, k x k, 1 x 1 to n                bottleneck=b
    BG(b, g)   1 x 1 to n / b, k x k in g groups, 1 x 1 to n    bottleneck=b, groups=g
    ```

    n is the number of the convolution's filters. The k x k convolution has the strides, padding
    and dilation of the one that it stands for; batch normalization and ReLU stand between the
    parts. The last 1 x 1 has the name, bias and activation of the convolution, so its output has
    the shape of the teacher's layer of that name, and objectives need no projector.

    All weights are new and trainable: the student is to be trained from the beginning, in the paper
    by attention transfer. What a layer has learnt by `adapt`, as Normalization does, it keeps.
    Convolutions in Functional and Sequential models inside are replaced, too. Left as they are:
    what is no convolution, 1 x 1 convolutions, convolutions in groups, depthwise, separable and
    transposed ones, those of your own classes, inside of them or wrapped by another layer, such as
    TimeDistributed, and, as in the paper, the first convolution behind an input.

    To train on a CPU take `groups="depthwise"` and `compile(jit_compile=False)`: TensorFlow is slow
    there with the gradients of other convolutions in groups, the slower the more groups.

    Args:
        model: The teacher, a Functional or Sequential `keras.Model`. It is not changed.
        groups: Number of groups, which divides the number of channels that the k x k convolution
            reads and writes; "depthwise" for as many as there are channels. Defaults to 1.
        bottleneck: What the number of filters is divided by, without a remainder. Defaults to
            1, no bottleneck.
        name: Name of the student.

    Returns:
        A Functional `keras.Model` with the model's inputs and outputs.

    Raises:
        ValueError: If an argument does not fit, or nothing can be replaced.

    Example:

    >>> from keras_distill.students import plain_cnn
    >>> teacher = plain_cnn((32, 32, 3), 10, depth=6, width=64)
    >>> student = moonshine(teacher, groups=16)
    >>> teacher.count_params(), student.count_params()
    (188234, 37194)

    Reference: Crowley et al. 2018, https://arxiv.org/abs/1711.02613. Deviations: each convolution
    is replaced by itself, as in the authors' code; a grouped convolution without a bottleneck
    keeps the number of channels that it reads.
    """
    if groups != "depthwise":
        check_integers(groups=groups)
    check_integers(bottleneck=bottleneck)
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
        groups, bottleneck: As of `moonshine`.
        is_behind: Whether a convolution comes before the model.
    """

    def __init__(self, groups, bottleneck, is_behind=False):
        self._groups, self._bottleneck, self._is_behind = groups, bottleneck, is_behind
        # By id: tensors with a convolution before them.
        self._behind = {}
        # By id of a layer, which may be called again: what takes its place, called in turn.
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
        # Keras has no depthwise one that is causal, and none of three axes.
        if groups == num_channels and layer.padding != "causal" and convolution in _DEPTHWISE:
            of_depthwise = {f"depthwise_{key}": value for key, value in of_kernel.items()}
            parts.append(_DEPTHWISE[convolution](**spatial, **kept, **of_depthwise))
        else:
            parts.append(convolution(num_channels, groups=groups, **spatial, **settings))
        parts += _normalized(layer, "spatial")
        of_point = {"kernel_size": 1, "strides": 1, "padding": "valid", "dilation_rate": 1}
        return [*parts, made_again(layer, **of_point)]


def _untrained(layer):
    """A copy to be trained, also of a layer that is frozen, as a teacher's are."""
    new = copied(layer)
    if isinstance(new, keras.layers.Layer):
        new.trainable = True
    return new


def _normalized(layer, place):
    name, settings = f"{layer.name}_{place}", {"dtype": layer.dtype_policy}
    return [
        # As the authors' code; Keras's 0.99 needs a thousand steps to see what has been learned.
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
    """Whether a layer is of these kinds, or has one of them inside."""
    is_layer = isinstance(layer, keras.layers.Layer)
    return is_layer and any(isinstance(inside, kinds) for inside in flatten_layers(layer))
