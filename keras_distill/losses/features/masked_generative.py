"""Masked generative distillation (MGD)."""

import keras
from keras import layers
from keras import ops

from keras_distill._arguments.checks import check_choice
from keras_distill._arguments.checks import check_rate
from keras_distill._arguments.checks import check_seed
from keras_distill.losses.base import DistillationLoss
from keras_distill.losses.base import check_channels


@keras.saving.register_keras_serializable(package="keras_distill")
class MaskedGenerative(DistillationLoss):
    """Difference of the teacher's features and features generated from masked student ones (MGD).

    ```
    generated = conv3x3(relu(conv3x3(mask * student)))
    loss = mean_channels (teacher - generated)^2
    ```

    The mask is drawn anew for every example and training step. The two convolutions train with
    the student. Outside of training, and if the loss is called by itself, nothing is masked:
    the value is then for all of the student's features, and is deterministic.

    Args:
        mask_rate: Share of the student's features that the mask sets to 0, from 0 to below 1.
            Defaults to 0.5. The authors' code has 0.15 for classification, 0.65 for detection and
            0.75 for segmentation.
        masked: "positions" for a mask over the image, equal for all channels, or "channels"
            for a mask over the channels, equal for all positions. Defaults to "positions".
        seed: Integer seed of the masks, or None for one that Keras draws. Defaults to 0.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation and of the convolutions. Defaults to float32.

    Call arguments:
        y_true: Teacher features, `(batch, height, width, channels)`.
        y_pred: Student features of the same shape.
        sample_weight: Optional weights, `(batch, height, width)`.

    Raises:
        ValueError: If an argument is out of range, or the shapes differ, do not have four axes, or
            have an unknown number of channels.

    Example: the projector is the paper's alignment of the channels.

    ```python
    kd.Objective(
        kd.losses.MaskedGenerative(),
        teacher_layer="block_4",
        student_layer="block_4",
        projector="auto",
    )
    ```

    >>> import numpy as np
    >>> loss = MaskedGenerative(mask_rate=0.5, reduction=None)
    >>> loss(np.ones((2, 4, 4, 3)), np.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 4, 4])

    Reference: Yang et al. 2022, https://arxiv.org/abs/2205.01529, eq. 2 to 4. Deviations: the
    paper sums over channels and positions; the mean keeps a weight independent of the layer's
    size, so multiply the paper's weights, such as 7e-5 for classification, by height * width *
    channels. The paper does not say what happens outside of training.
    """

    needs = ("training",)
    axes = "(batch, height, width, channels)"
    remedy = (
        "Give the objective a projector that maps the student to the teacher's shape: "
        'projector="auto" for the channels, a keras.layers.Resizing for the size.'
    )

    def __init__(
        self,
        mask_rate=0.5,
        *,
        masked="positions",
        seed=0,
        reduction="sum_over_batch_size",
        name="masked_generative",
        dtype=None,
    ):
        mask_rate = check_rate("mask_rate", mask_rate, with_one=False)
        check_choice("masked", masked, ("positions", "channels"))
        seed = check_seed("seed", seed, optional=True)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.mask_rate = mask_rate
        self.masked = masked
        self.seed = seed
        self.generation = _Generation(self.mask_rate, masked, seed, dtype=self.dtype)

    def check_shapes(self, teacher_shape, student_shape):
        super().check_shapes(teacher_shape, student_shape)
        if len(student_shape) != 4:
            raise ValueError(
                "MaskedGenerative compares images of features, (batch, height, width, channels). "
                f"Received: {student_shape}. Tap a layer before the pooling."
            )
        check_channels(self, student_shape)

    def call(self, y_true, y_pred):
        generated = self.generation(y_pred, training=self.training)
        return ops.mean(ops.square(y_true - generated), axis=-1)

    def get_config(self):
        return {
            **super().get_config(),
            "mask_rate": self.mask_rate,
            "masked": self.masked,
            "seed": self.seed,
        }


class _Generation(layers.Layer):
    """A random mask, then two convolutions."""

    def __init__(self, mask_rate, masked, seed, dtype):
        super().__init__(dtype=dtype, name="generation")
        self.mask_rate = mask_rate
        self.noise_shape = (None, None, None, 1) if masked == "positions" else (None, 1, 1, None)
        self.seed = seed

    def build(self, features_shape):
        channels, dtype = features_shape[-1], self.dtype_policy
        # The layers are made here, like the objective's variables, within the strategy's scope.
        self.mask = layers.Dropout(self.mask_rate, self.noise_shape, self.seed, dtype=dtype)
        self.first, self.second = (
            layers.Conv2D(
                channels,
                3,
                padding="same",
                data_format="channels_last",
                activation=activation,
                dtype=dtype,
            )
            for activation in ("relu", None)
        )
        for layer in (self.mask, self.first, self.second):
            layer.build(features_shape)

    def call(self, features, training=False):
        if training:
            # Dropout divides the kept features by the share that it keeps, which this undoes.
            features = self.mask(features * (1 - self.mask_rate), training=True)
        return self.second(self.first(features))
