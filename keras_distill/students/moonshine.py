"""Moonshine: a student that is its teacher, with cheaper convolutions."""

import keras

from keras_distill.arguments import check_integers
from keras_distill.students.rebuilding import copied
from keras_distill.students.rebuilding import rebuild

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D)
_ANY_CONVOLUTION = (
    *_CONVOLUTIONS,
    keras.layers.Conv3D,
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

    All weights are new: the student is to be trained from the beginning, in the paper by attention
    transfer. Left as they are: what is no convolution, 1 x 1 convolutions, convolutions in groups,
    depthwise and transposed ones, and, as in the paper, the first convolution behind an input.

    To train on a CPU take `groups="depthwise"` and `compile(jit_compile=False)`: TensorFlow is slow
    there with the gradients of other convolutions in groups, the slower the more groups.

    Args:
        model: The teacher, a Functional or Sequential `keras.Model` in channels_last. It is not
            changed.
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
    student = rebuild(model, copied, rebuilding.call)
    if not rebuilding.num_replaced:
        raise ValueError(
            "model must have a convolution of more than 1 x 1 behind the first one. Received: "
            f"{model.name!r} with the layers {[layer.name for layer in model.layers]}"
        )
    return keras.Model(student.input, student.output, name=name)


class _Rebuilding:
    """Replaces convolutions while a model is rebuilt."""

    def __init__(self, groups, bottleneck):
        self._groups, self._bottleneck = groups, bottleneck
        # By id: tensors with a convolution before them.
        self._behind = {}
        self._blocks = {}

    @property
    def num_replaced(self):
        return len(self._blocks)

    def call(self, layer, *args, **kwargs):
        inputs = keras.tree.flatten((args, kwargs))
        is_behind = any(id(x) in self._behind for x in inputs)
        _check_inside(layer)
        if is_behind and _is_replaced(layer):
            if id(layer) not in self._blocks:
                self._blocks[id(layer)] = self._block(layer, inputs[0].shape[-1])
            outputs = inputs[0]
            for part in self._blocks[id(layer)]:
                outputs = part(outputs)
        else:
            outputs = layer(*args, **kwargs)
        if is_behind or isinstance(layer, _ANY_CONVOLUTION):
            self._behind |= {id(x): x for x in keras.tree.flatten(outputs)}
        return outputs

    def _block(self, layer, num_channels):
        convolution, name = type(layer), layer.name
        if layer.filters % self._bottleneck:
            raise ValueError(
                f"bottleneck must divide the number of filters of {name!r}, {layer.filters}. "
                f"Received: bottleneck={self._bottleneck}"
            )
        parts = []
        if self._bottleneck > 1:
            num_channels = layer.filters // self._bottleneck
            parts.append(convolution(num_channels, 1, use_bias=False, name=f"{name}_narrow"))
            parts += _normalized(f"{name}_narrow")
        spatial = {
            "kernel_size": layer.kernel_size,
            "strides": layer.strides,
            "padding": layer.padding,
            "dilation_rate": layer.dilation_rate,
            "use_bias": False,
            "name": f"{name}_spatial",
        }
        if self._groups in ("depthwise", num_channels):
            parts.append(_DEPTHWISE[convolution](**spatial))
        elif num_channels % self._groups == 0:
            parts.append(convolution(num_channels, groups=self._groups, **spatial))
        else:
            raise ValueError(
                f"groups must divide the {num_channels} channels of the {layer.kernel_size} "
                f"convolution in place of {name!r}. Received: groups={self._groups}"
            )
        parts += _normalized(f"{name}_spatial")
        config = layer.get_config()
        of_point = {"kernel_size": 1, "strides": 1, "padding": "valid", "dilation_rate": 1}
        return [*parts, convolution.from_config({**config, **of_point})]


def _normalized(name):
    return [
        # As the authors' code; Keras's 0.99 needs a thousand steps to see what has been learned.
        keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_normalization"),
        keras.layers.ReLU(name=f"{name}_relu"),
    ]


def _is_replaced(layer):
    is_plain = type(layer) in _CONVOLUTIONS and layer.groups == 1
    return is_plain and max(layer.kernel_size) > 1 and layer.data_format == "channels_last"


def _check_inside(layer):
    if not isinstance(layer, keras.Model):
        return
    if any(isinstance(inside, _CONVOLUTIONS) for inside in layer._flatten_layers()):
        raise ValueError(
            f"model must have its convolutions itself. Received: the model {layer.name!r} inside, "
            "with convolutions. Replace those of the inner model by themselves."
        )
