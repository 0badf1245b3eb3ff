"""On-the-fly native ensemble (ONE): the gated ensemble of a net's branches teaches them."""

import keras
from keras import layers
from keras import ops

from keras_distill._keras import output_domain
from keras_distill._keras.channel_axis import has_channels_first
from keras_distill._keras.masks import keras_mask
from keras_distill._keras.masks import set_keras_mask
from keras_distill.losses.outputs.soft_targets import SoftTargetKL
from keras_distill.teaching.online.base import Lesson
from keras_distill.teaching.online.base import OnlineDistillation
from keras_distill.teaching.online.base import ends
from keras_distill.teaching.online.base import named


@keras.saving.register_keras_serializable(package="keras_distill")
class NativeEnsemble(OnlineDistillation):
    """On-the-fly native ensemble (ONE): branches of one net learn from their ensemble.

    ```
    ensemble = sum_i gate_i(trunk) * branch_i          of the logits, sum_i gate_i = 1
    total    = sum_i (hard_i + weight * soft_i) + hard_ensemble + regularisers
    hard     = the loss given to compile(), on the labels
    soft_i   = T^2 * KL(softmax(ensemble / T) || softmax(branch_i / T))
    ```

    The trunk, the layers that all branches share, runs once. The soft losses train branches and
    trunk; the ensemble, with its gate, learns from the labels only.

    This is an ordinary Keras model, whose outputs are a dict with one entry for each branch and
    "ensemble": compile, fit, evaluate, predict, callbacks and save work as usual. `student()` is
    the model to export: trunk and one branch, as small as a net without the other branches.

    Args:
        trunk: The Keras model that all branches share, which starts with a `keras.Input`.
        branches: List of at least two built Keras models that read the trunk's output and have
            one output of logits, of the same shape, each. Their names, which must differ, are the
            names of the outputs.
        gate: Keras layer or model from the trunk's output to weights `(batch, num_branches)` that
            sum to 1 for each example. None means the mean over positions, a Dense layer, batch
            normalization, ReLU and softmax; the trunk must then have one output
            `(batch, ..., features)`.
        soft_loss: Loss with y_true = ensemble, y_pred = branch, both in logits. None for
            `losses.SoftTargetKL(temperature=3.0)`.
        weight: Weight of the soft losses, a float from 0 or a `LearningRateSchedule` of the
            optimizer's step. Defaults to 1.
        name: Name of the model.

    History and evaluate: loss; for each branch and the ensemble `{name}_loss` (the hard loss) and
    `{name}_{metric}`; for each branch `{name}_soft_loss`.

    Raises:
        ValueError: If there are fewer than two branches, two have the same name or one is called
            "ensemble", they share layers, their outputs differ or are not logits, or the trunk
            does not have the single output that the default gate needs.

    Example:

    >>> import numpy as np
    >>> x, y = np.ones((8, 3), "float32"), np.arange(8) % 2
    >>> def dense(*widths, name):
    ...     layers = [keras.layers.Dense(width) for width in widths[1:]]
    ...     return keras.Sequential([keras.Input(widths[:1]), *layers], name=name)
    >>> branches = [dense(5, 4, 2, name=name) for name in ("left", "right")]
    >>> one = NativeEnsemble(trunk=dense(3, 5, name="trunk"), branches=branches)
    >>> one.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> sorted(one.fit(x, y, verbose=0).history)  # doctest: +NORMALIZE_WHITESPACE
    ['ensemble_loss', 'left_loss', 'left_soft_loss', 'loss', 'right_loss', 'right_soft_loss']
    >>> one.student("right").count_params()  # Trunk and branch.
    54

    Reference: Lan, Zhu, Gong 2018, https://arxiv.org/abs/1806.04606. Deviations: none in the loss;
    the authors' code raises the weight of the soft losses from 0 over its first 80 epochs; here,
    give a schedule as the weight.
    """

    def __init__(
        self, *, trunk, branches, gate=None, soft_loss=None, weight=1.0, name="native_ensemble"
    ):
        branches = named("branches", branches)
        soft_loss = SoftTargetKL(temperature=3.0) if soft_loss is None else soft_loss
        if trunk is None:
            raise ValueError("trunk must be a keras.Model that the gate can read. Received: None")
        _check_branches(branches, soft_loss)
        super().__init__(
            branches,
            [Lesson("ensemble", branch) for branch in branches],
            trunk=trunk,
            soft_loss=soft_loss,
            weight=weight,
            name=name,
        )
        self.gate = _default_gate(trunk, len(branches)) if gate is None else gate
        _check_gate(self.gate, trunk, len(branches))

    @property
    def _models_by_output(self):
        return {**super()._models_by_output, "ensemble": None}

    def _outputs_of(self, features, training):
        outputs = super()._outputs_of(features, training)
        shares = self.gate(features, training=training)
        return {**outputs, "ensemble": _weighted_sum(list(outputs.values()), shares)}

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "trunk": serialize(self.trunk),
            "branches": list(map(serialize, self.models.values())),
            "gate": serialize(self.gate),
            **super().get_config(),
        }


def _weighted_sum(branches, shares):
    """The sum of the branches' logits, `(batch, ...)`, with the shares, `(batch, branches)`."""
    # The sum is at least float32, like the losses: a sum of float16 logits may overflow.
    dtypes = [keras.backend.standardize_dtype(logits.dtype) for logits in branches]
    dtype = "float64" if "float64" in dtypes else "float32"
    stacked = ops.stack([ops.cast(logits, dtype) for logits in branches], axis=1)
    shape = (-1, len(branches), *[1] * (len(stacked.shape) - 2))
    ensemble = ops.sum(stacked * ops.reshape(ops.cast(shares, dtype), shape), axis=1)
    # Keras's losses and metrics read this mask: padded positions have no ensemble, either.
    set_keras_mask(ensemble, keras_mask(branches[0]))
    return ensemble


def _default_gate(trunk, num_branches):
    shape = trunk.output_shape
    kinds = {3: layers.GlobalAveragePooling1D, 4: layers.GlobalAveragePooling2D}
    if not isinstance(shape, tuple) or len(shape) not in (2, *kinds):
        raise ValueError(
            "The default gate reads a trunk with one output, (batch, features), "
            "(batch, length, features) or (batch, height, width, features). "
            f"Received: {shape}. Give a gate."
        )
    pooling = []
    if len(shape) in kinds:
        form = "channels_first" if has_channels_first(trunk) else "channels_last"
        pooling.append(kinds[len(shape)](data_format=form))
    return keras.Sequential(
        [
            keras.Input(batch_shape=shape),
            *pooling,
            layers.Dense(num_branches),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Softmax(dtype="float64" if trunk.compute_dtype == "float64" else "float32"),
        ],
        name="gate",
    )


def _check_gate(gate, trunk, num_branches):
    # The call also builds the gate.
    shape = tuple(gate(ends(trunk)[1]).shape)
    if shape[1:] != (num_branches,):
        raise ValueError(
            f"gate must give a weight for each of {num_branches} branches, (batch, branches). "
            f"Received: shape {shape}."
        )


def _check_branches(branches, soft_loss):
    if "ensemble" in branches:
        raise ValueError('branches must not be named "ensemble", the name of their common output.')
    domains = {name: output_domain.output_domains(model) for name, model in branches.items()}
    declared = getattr(soft_loss, "student_from_logits", None)
    if declared is False or any(
        domain is not None and domain[0] not in (None, output_domain.LOGITS)
        for domain in domains.values()
    ):
        raise ValueError(
            "branches must give logits, of which the ensemble is the weighted mean: remove the "
            f"last activation. Received: {domains}, student_from_logits={declared}"
        )
