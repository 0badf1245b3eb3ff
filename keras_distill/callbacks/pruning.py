"""Magnitude pruning: a callback that sets the smallest weights to zero while a student learns."""

import functools
import math
import warnings

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_distill._arguments.checks import check_boolean
from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_names
from keras_distill._arguments.schedules import Range
from keras_distill._arguments.schedules import check_number
from keras_distill._arguments.schedules import check_schedule
from keras_distill._arguments.schedules import value_at
from keras_distill._arguments.students import students_of
from keras_distill._keras.layers import flatten_layers
from keras_distill._keras.optimizer_steps import num_updates
from keras_distill._keras.optimizer_steps import step_of
from keras_distill.callbacks.schedule_check import batches_left

_KERNELS = ("kernel", "recurrent_kernel", "pointwise_kernel")
# These layers have few weights and need them all: Zhu & Gupta 2017 do not prune them.
_LEFT_WHOLE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
# Pruning a smaller share of the weights at once hardly affects the model.
_LARGE_SHARE = 0.1
_SPARSITY = Range("a number in [0, 1)", lambda number: 0 <= number < 1)


class Pruning(keras.callbacks.Callback):
    """Sets the weights of smallest magnitude to zero during `fit`.

    ```
    mask(kernel) = 0 for the round(sparsity(step) * size) smallest |kernel|, 1 for the others,
                   and for the largest in any case
    kernel       = mask * kernel                         after every batch
    ```

    Every `frequency` steps, and when `fit` ends, the masks are computed anew from the weights. A
    zero is the smallest magnitude: as long as the sparsity does not fall, a zero stays zero. The
    zeros are in the student's own weights, so `save` and every export contain them, and there are
    no wrappers to remove first. LiteRT files store the zeros, too: the file itself keeps its size,
    but it compresses better, for instance in an app package.

    In a `Distiller`, and in `DataFree`, the student is pruned; models that learn from one another,
    such as the peers of `MutualLearning`, are pruned together.

    The trainable kernels of Dense, EinsumDense, convolutions and recurrent layers are pruned;
    biases, normalization, embeddings and depthwise convolutions are not.

    Args:
        sparsity: Share of zeros, in [0, 1): a float, from the first step on, or a
            `LearningRateSchedule` of the optimizer's step. The cubic one of the paper is
            `PolynomialDecay(0.0, decay_steps, 0.9, power=3.0)`.
        frequency: Number of steps between two masks, at least 1. Defaults to 100. With a schedule
            that rises, a `fit` should compute many masks: after the mask at its end, no training
            makes up for the pruned weights. A warning tells you if that mask prunes many weights
            and there is only one mask before it.
        is_global: Whether all kernels are ranked together: the smallest weights of the whole model
            are pruned, so that some layers lose more than others. False: each kernel has the same
            sparsity. Defaults to False.
        exclude: Names of layers that are not pruned, such as the first and the last: they have few
            weights, and a sparsity that suits a large kernel may leave a class without any weight.

    History: "sparsity", the share of zeros in the pruned kernels at the end of the epoch.

    Raises:
        ValueError: If an argument is out of range; at the start of `fit`, if the model has no such
            kernel, no layer of an excluded name, or the schedule leaves [0, 1) within this `fit`.
            If the number of steps is unknown, the schedule is checked whenever it is read.

    With `steps_per_execution` the weights are set to zero after each execution, not after each
    step in between. After a restart from a backup or a saved model, the zeros are the smallest
    weights again, so no masks have to be saved. A callback that changes weights at the end, such as
    `EarlyStopping(restore_best_weights=True)`, must come before this one in the list: it may
    restore weights of an epoch with fewer zeros. The averages that `SwapEMAWeights` swaps in after
    an epoch may have fewer zeros, too, also in files of single epochs; the weights at the end are
    pruned.

    Zeros are exact in 8 bits and stay zeros: prune within `students.quantization_aware`, or
    export with `quantization="int8"` afterwards.

    Example:

    ```python
    schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 2000, 0.9, power=3.0)
    distiller.fit(dataset, epochs=10, callbacks=[kd.callbacks.Pruning(schedule)])
    kd.export_tflite(distiller.student, "student.tflite")
    ```

    Reference: Zhu & Gupta 2017, https://arxiv.org/abs/1710.01878. Deviations: any schedule is
    allowed; `is_global`; masked weights get a gradient, whose update is undone after the step,
    where the paper gives them none; the optimizer keeps its moments.
    """

    def __init__(self, sparsity, *, frequency=100, is_global=False, exclude=()):
        super().__init__()
        self.sparsity = check_number("sparsity", sparsity, _SPARSITY)
        self.frequency = check_integer("frequency", frequency)
        self.is_global = check_boolean("is_global", is_global)
        self.exclude = check_names("exclude", exclude, "exclude must be a list of names of layers.")
        self._kernels, self._set_to_zero = [], None
        self._masks, self._period, self._last = None, None, 0.0

    def on_train_begin(self, logs=None):
        self._kernels = _kernels_to_prune(students_of(self.model), self.exclude)
        self._masks, self._period = None, None
        # One function sets all kernels: separate calls would take longer than a small step.
        self._set_to_zero = tf.function(functools.partial(_set_to_zero, self._kernels))

    def on_epoch_begin(self, epoch, logs=None):
        if self._masks is None:
            num_steps = num_updates(self.model.optimizer, batches_left(self, epoch))
            self._check_schedule(num_steps)
            self._warn_of_late_masks(num_steps)

    def on_train_batch_begin(self, batch, logs=None):
        # At the start of training, a callback that restores weights might run after this one.
        if self._masks is None:
            self._prune()

    def on_train_batch_end(self, batch, logs=None):
        if self._step() // self.frequency == self._period:
            self._apply()
        else:
            self._prune()

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            num_left = sum(int(ops.count_nonzero(kernel)) for kernel in self._kernels)
            logs["sparsity"] = 1 - num_left / sum(math.prod(k.shape) for k in self._kernels)

    def on_train_end(self, logs=None):
        self._prune()

    def _step(self):
        return step_of(self.model.optimizer)

    def _prune(self):
        step = self._step()
        self._period = step // self.frequency
        self._check_schedule()
        sparsity = float(value_at(self.sparsity, step))
        if self._masks is not None and sparsity >= self._last:
            # The optimizer's moments have changed the zeros: set them again before the ranking.
            self._apply()
        self._last = sparsity
        kernels = [np.asarray(ops.cast(kernel, "float32")) for kernel in self._kernels]
        if self.is_global:
            whole = _mask(np.concatenate([kernel.ravel() for kernel in kernels]), sparsity)
            ends = np.cumsum([kernel.size for kernel in kernels])[:-1]
            masks = [m.reshape(k.shape) for m, k in zip(np.split(whole, ends), kernels)]
        else:
            masks = [_mask(kernel, sparsity) for kernel in kernels]
        for mask, kernel in zip(masks, kernels):
            if not mask.any():
                # A kernel of zeros alone passes neither activations nor gradients.
                mask.flat[np.abs(kernel).argmax()] = True
        self._masks = [ops.convert_to_tensor(mask) for mask in masks]
        self._apply()

    def _apply(self):
        self._set_to_zero(self._masks)

    def _check_schedule(self, num_steps=0):
        first = self._step()
        check_schedule("sparsity", self.sparsity, _SPARSITY, first, first + num_steps)

    def _warn_of_late_masks(self, num_steps):
        first, last = self._step(), self._step() + max(0, num_steps - 1)
        sparsity, end = (float(value_at(self.sparsity, step)) for step in (first, last))
        is_late = first // self.frequency == last // self.frequency
        if is_late and end - sparsity > _LARGE_SHARE:
            warnings.warn(
                f"frequency should be far less than the {num_steps} steps of this fit: the "
                f"student has a sparsity of {sparsity:.2g} until it ends, then {end:.2g} at once, "
                f"with no step to recover. Received: frequency={self.frequency}",
                stacklevel=2,
            )


def _set_to_zero(kernels, masks):
    for kernel, mask in zip(kernels, masks):
        # In a product with the mask, an infinite weight would become NaN.
        kernel.assign(ops.where(mask, kernel, ops.zeros_like(kernel)))


def _mask(kernel, sparsity):
    """False for as many of the smallest weights as the sparsity says; ties take the first."""
    mask = np.ones(kernel.size, bool)
    mask[np.argsort(np.abs(kernel), axis=None, kind="stable")[: round(sparsity * kernel.size)]] = (
        False
    )
    return mask.reshape(kernel.shape)


def _kernels_to_prune(students, exclude):
    layers = [layer for s in students for layer in flatten_layers(s, include_self=False)]
    names = {layer.name for layer in layers}
    if unknown := sorted(set(exclude) - names):
        raise ValueError(
            f"exclude must be names of the student's layers. Received: {unknown}, which are none "
            f"of {sorted(names)}"
        )
    left_whole = {
        id(variable)
        for layer in layers
        if isinstance(layer, _LEFT_WHOLE) or layer.name in exclude
        for variable in layer.variables
    }
    kernels = [
        variable
        for student in students
        for variable in student.trainable_variables
        if variable.name in _KERNELS and id(variable) not in left_whole
    ]
    if not kernels:
        raise ValueError(
            "The student must have a kernel that is trained, to be pruned. Received: "
            f"{', '.join(repr(student.name) for student in students)} with the layers "
            f"{sorted(names)}, exclude={exclude!r}"
        )
    return kernels
