"""Patient knowledge distillation (PKD): the direction of the first token's hidden state."""

import keras
from keras import ops

from keras_distill._arguments.checks import check_boolean
from keras_distill._keras.masks import fit_weights
from keras_distill._keras.masks import keras_mask
from keras_distill._keras.masks import set_keras_mask
from keras_distill.losses.features.hints import FeatureCosine


@keras.saving.register_keras_serializable(package="keras_distill")
class PKD(FeatureCosine):
    """Squared distance of normalised hidden states, of the first token or of every token.

    ```
    loss = sum_features (teacher / |teacher| - student / |student|)^2
         = 2 - 2 * cosine of the angle between them
    ```

    The loss is twice the `FeatureCosine`, from 0 to 4. As there, a vector of zeros is treated as
    orthogonal (2) and gets no gradient.

    Args:
        first_token: True for the hidden state of the first token only, BERT's [CLS]; False for
            the hidden states of all tokens. Defaults to True.
        reduction: Keras's reduction of the values over the batch. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss, and of its entry in the history.
        dtype: Dtype of the computation. Defaults to float32.

    Call arguments:
        y_true: Teacher hidden states, `(batch, length, features)`.
        y_pred: Student hidden states of the same shape. Their Keras mask is applied.
        sample_weight: Optional weights, `(batch,)` or `(batch, length)`. With first_token, only
            the first token's weights count.

    Raises:
        ValueError: If first_token is no bool, or the shapes differ. Nothing is broadcast.

    Example:

    >>> import numpy as np
    >>> teacher = np.array([[[3.0, 4.0], [0.0, 1.0]]])  # 2 tokens, 2 features
    >>> student = np.array([[[4.0, -3.0], [0.0, 7.0]]])
    >>> round(float(PKD()(teacher, student)), 6)
    2.0
    >>> round(float(PKD(first_token=False)(teacher, student)), 6)
    1.0

    For a teacher of 12 layers and a student of 6, use `kd.layer_objectives` with the student's
    first 5 layers: `mapping="uniform"` over the teacher's first 10 layers is the paper's PKD-Skip,
    and `mapping="top"` over the teacher's first 11 layers is PKD-Last.

    Reference: Sun et al. 2019, https://arxiv.org/abs/1908.09355, eq. 7. Deviations: the mean
    over the examples instead of the sum; each layer has its own objective, and their values
    add up, as in the paper. The authors' code takes the mean over the features: divide its weight
    by the width to get the weight here.
    """

    def __init__(
        self, first_token=True, *, reduction="sum_over_batch_size", name="pkd", dtype=None
    ):
        first_token = check_boolean("first_token", first_token)
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.first_token = first_token

    def __call__(self, y_true, y_pred, sample_weight=None):
        if self.first_token:
            mask = keras_mask(y_pred)
            y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
            self.check_shapes(tuple(y_true.shape), tuple(y_pred.shape))
            y_true, y_pred = y_true[:, :1], y_pred[:, :1]
            if mask is not None:
                set_keras_mask(y_pred, mask[:, :1])
            if sample_weight is not None:
                # The weights have rank 1 or 2; an example's weight applies to its first token.
                sample_weight = fit_weights(sample_weight, 2)[:, :1]
        return super().__call__(y_true, y_pred, sample_weight)

    def check_shapes(self, teacher_shape, student_shape):
        if len(student_shape) != 3:
            raise ValueError(
                f"{type(self).__name__} compares hidden states, (batch, length, features). "
                f"Received: teacher {teacher_shape}, student {student_shape}. Tap a layer that "
                "gives one for each token; for other features use FeatureCosine."
            )
        super().check_shapes(teacher_shape, student_shape)

    def call(self, y_true, y_pred):
        return 2 * super().call(y_true, y_pred)

    def get_config(self):
        return {**super().get_config(), "first_token": self.first_token}
