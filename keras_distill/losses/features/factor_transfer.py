"""Factor transfer (FT): a paraphraser of the teacher's features, and a translator."""

import keras
from keras import layers
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_rate
from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.base import check_channels
from keras_distill.losses.base import shapes_agree
from keras_distill.losses.numerics import unit_vectors

_FACTOR = "factor"


def paraphraser(channels, *, rate=0.5, name="paraphraser"):
    """A convolutional autoencoder of a teacher's features, for `FactorTransfer`.

    Three 3x3 convolutions lead to the layer "factor", and three transposed ones back, each with
    batch normalisation and a leaky ReLU (0.1). The model computes in Keras's `floatx`, whatever the
    dtype policy. Train it with the mean squared error on the teacher's features, without labels.

    Args:
        channels: Number of channels of the teacher's features, an integer of 1 or more.
        rate: Channels of the factor as a share of `channels`, above 0 and at most 1. Defaults to
            0.5.
        name: Name of the model.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)` to the same shape.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> model = paraphraser(channels=8, rate=0.5)
    >>> model.get_layer("factor").output.shape
    (None, None, None, 4)

    Reference: Kim et al. 2018, https://arxiv.org/abs/1802.04977, section 3.1.
    """
    channels = check_integer("channels", channels)
    # The factor needs channels.
    rate = check_rate("rate", rate, with_zero=False)
    factor_channels = max(1, int(channels * rate))
    dtype = keras.config.floatx()
    return keras.Sequential(
        [
            keras.Input((None, None, channels), dtype=dtype),
            *_blocks([channels, factor_channels, factor_channels], dtype, last_name=_FACTOR),
            *_blocks(
                [factor_channels, channels, channels], dtype, convolution=layers.Conv2DTranspose
            ),
        ],
        name=name,
    )


@keras.saving.register_keras_serializable(package="keras_distill")
class FactorTransfer(DistillationLoss):
    """Difference between the teacher's paraphrased and the student's translated features (FT).

    ```
    factor_t = paraphraser(teacher), up to its layer "factor";  factor_s = translator(student)
    loss = mean_channels |factor_t / ||factor_t|| - factor_s / ||factor_s|| |^p
    ```

    `||.||` is the length of an example's whole factor. The translator, three 3x3 convolutions
    with batch normalisation and a leaky ReLU (0.1), trains with the student. The paraphraser is
    trained beforehand and is not changed: the loss keeps a frozen copy of its part up to the
    factor, which is saved with the Distiller. The exported student contains neither. The widths of
    both models may differ, so the objective needs no projector.

    Args:
        paraphraser: A trained `paraphraser(channels)`, or another built functional or Sequential
            `keras.Model` that reads the teacher's features and has a layer named "factor" whose
            output is `(batch, height, width, factor_channels)`.
        p: 1 for the absolute difference, 2 for the squared one. Defaults to 1.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation and of the translator. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, height, width, teacher_channels)`.
        y_pred: Student features, `(batch, height, width, student_channels)`.
        sample_weight: Optional weights, `(batch, height, width)`.

    Raises:
        ValueError: If p or the paraphraser does not fit; if the features do not have four axes,
            differ in size, or have an unknown number of channels.

    Example:

    ```python
    hint = keras.Model(teacher.input, teacher.get_layer("block_4").output)
    features = images.map(lambda x, y: (hint(x, training=False),) * 2)
    paraphraser = kd.losses.paraphraser(channels=hint.output.shape[-1])
    paraphraser.compile("adam", "mse")
    paraphraser.fit(features, epochs=10)

    factors = kd.Objective(
        kd.losses.FactorTransfer(paraphraser),
        teacher_layer="block_4",
        student_layer="block_2",
        weight=500.0,
    )
    distiller = kd.Distiller(student=student, teacher=teacher, objectives=[factors])
    ```

    >>> import numpy as np
    >>> loss = FactorTransfer(paraphraser(channels=8), reduction=None)
    >>> loss(np.ones((2, 4, 4, 8)), np.ones((2, 4, 4, 3))).shape
    TensorShape([2, 4, 4])

    Reference: Kim et al. 2018, https://arxiv.org/abs/1802.04977, eq. 1 to 3. Deviations: the
    paper has the norm, a sum over the factor; the mean is from its authors' code, and the weight of
    500 belongs to this mean. A factor of zeros has no direction: it is treated as zeros.
    """

    same_shapes = False
    needs = ("training",)

    def __init__(
        self,
        paraphraser,
        *,
        p=1,
        reduction="sum_over_batch_size",
        name="factor_transfer",
        dtype=None,
    ):
        if p not in (1, 2):
            raise ValueError(f"p must be 1 or 2. Received: p={p!r}")
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.p = int(p)
        self.paraphraser = _frozen_up_to_factor(paraphraser)
        self.translator = _Translator(self.paraphraser.output.shape[-1], dtype=self.dtype)

    def check_shapes(self, teacher_shape, student_shape):
        shapes = teacher_shape, student_shape
        if not (
            len(teacher_shape) == len(student_shape) == 4
            and shapes_agree(teacher_shape[:3], student_shape[:3])
        ):
            raise ValueError(
                "FactorTransfer compares images of features of one size, (batch, height, width, "
                f"channels). Received: teacher {teacher_shape}, student {student_shape}. Give the "
                "objective a keras.layers.Resizing as projector."
            )
        check_channels(self, *shapes)
        channels = self.paraphraser.inputs[0].shape[-1]
        if channels != teacher_shape[-1]:
            raise ValueError(
                "paraphraser must read the teacher's features. Received: a paraphraser of "
                f"{channels} channels, teacher {teacher_shape}. Train one of these features."
            )

    def call(self, y_true, y_pred):
        taught = ops.cast(self.paraphraser(y_true, training=False), self.dtype)
        translated = self.translator(y_pred, training=self.training)
        difference = _of_length_one(ops.stop_gradient(taught)) - _of_length_one(translated)
        powers = ops.abs(difference) if self.p == 1 else ops.square(difference)
        return ops.mean(powers, axis=-1)

    def get_config(self):
        model = keras.saving.serialize_keras_object(self.paraphraser)
        return {**super().get_config(), "paraphraser": model, "p": self.p}

    @classmethod
    def from_config(cls, config):
        model = keras.saving.deserialize_keras_object(config["paraphraser"])
        return cls(**{**config, "paraphraser": model})


class _Translator(layers.Layer):
    """Maps the student's features to a factor."""

    def __init__(self, factor_channels, dtype):
        super().__init__(dtype=dtype, name="translator")
        self.factor_channels = factor_channels

    def build(self, features_shape):
        widths = [features_shape[-1], self.factor_channels, self.factor_channels]
        self.blocks = _blocks(widths, self.dtype_policy)
        for layer in self.blocks:
            layer.build(features_shape)
            features_shape = layer.compute_output_shape(features_shape)

    def call(self, features, training=False):
        for layer in self.blocks:
            is_norm = isinstance(layer, layers.BatchNormalization)
            features = layer(features, training=training) if is_norm else layer(features)
        return features


def _blocks(widths, dtype, convolution=layers.Conv2D, last_name=None):
    """Lists a convolution, a normalisation and a leaky ReLU for each width."""
    blocks = []
    for width in widths:
        blocks += [
            convolution(
                width,
                3,
                padding="same",
                use_bias=False,
                data_format="channels_last",
                dtype=dtype,
            ),
            # The authors' code has these defaults of PyTorch.
            layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype),
        ]
        is_last = len(blocks) == 3 * len(widths) - 1
        blocks.append(layers.LeakyReLU(0.1, name=last_name if is_last else None, dtype=dtype))
    return blocks


def _frozen_up_to_factor(model):
    """A frozen copy up to the factor, which leaves the user's model trainable and unchanged."""
    is_built = isinstance(model, keras.Model) and model.built
    inputs = getattr(model, "inputs", None) if is_built else None
    if not inputs or all(layer.name != _FACTOR for layer in model.layers):
        raise ValueError(
            "paraphraser must be a built keras.Model with a layer named 'factor', trained on the "
            "teacher's features, such as keras_distill.losses.paraphraser(channels). Received: "
            f"paraphraser={model!r}"
        )
    part = keras.Model(inputs, model.get_layer(_FACTOR).output, name="paraphraser")
    copy = keras.models.clone_model(part)
    copy.set_weights(part.get_weights())
    copy.trainable = False
    return copy


def _of_length_one(factors):
    shape = ops.shape(factors)
    flat = ops.reshape(factors, (shape[0], -1))
    return ops.reshape(unit_vectors(flat), shape)
