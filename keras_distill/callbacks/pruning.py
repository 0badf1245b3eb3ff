"""Magnitude pruning: a callback that sets the smallest weights to zero while a student learns."""

import functools
import math
import warnings
from collections.abc import Collection

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_distill._arguments.checks import check_integers
from keras_distill._arguments.schedules import Range
from keras_distill._arguments.schedules import check_number
from keras_distill._arguments.schedules import check_schedule
from keras_distill._arguments.schedules import value_at
from keras_distill._arguments.students import students_of
from keras_distill._keras.layers import flatten_layers
from keras_distill._keras.optimizers import num_updates
from keras_distill._keras.optimizers import step_of
from keras_distill.callbacks.schedule_check import batches_left

_KERNELS = ("kernel", "recurrent_kernel", "pointwise_kernel")
# Few weights, each of them needed: Zhu & Gupta 2017 leave them whole.
_LEFT_WHOLE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
# Of the weights at once: less is hardly felt.
_LARGE_SHARE = 0.1
_SPARSITY = Range("a number in [0, 1)", lambda number: 0 <= number < 1)


class Pruning(keras.callbacks.Callback):
    """Sets a share of the weights to zero during `fit`: those of least magnitude.

    ```
    mask(kernel) = 0 for the round(sparsity(step) * size) smallest |kernel|, 1 for the others,
                   and for the largest in any case
    kernel       = mask * kernel                         after every batch
    ```

    Every `frequency` steps, and when `fit` ends, the masks are made anew from the weights. A
    weight that is zero is the smallest there is: as long as the sparsity does not fall, it stays
    zero. What is left is plain zeros in the student's own weights, so `save` and every export
    have them, and nothing is to be removed before. LiteRT files store the zeros, too: what gets
    smaller is the compressed file, as an app is shipped, not the file itself.

    In a `Distiller`, and in `DataFree`, the student is pruned; models that learn from one another,
    such as the peers of `MutualLearning`, are pruned together.

    Pruned are the kernels of Dense, EinsumDense, convolutions and recurrent layers, as far as they
    are trained; biases, normalization, embeddings and depthwise convolutions are left whole.

    Args:
        sparsity: Share of zeros, in [0, 1): a float, from the first step on, or a
            `LearningRateSchedule` of the optimizer's step. The cubic one of the paper is
            `PolynomialDecay(0.0, decay_steps, 0.9, power=3.0)`.
        frequency: Number of steps between two masks, at least 1. Defaults to 100. With a schedule
            that rises, many masks should come within a `fit`: what the one at its end takes is
            not made up for. A warning says so if it is much and there is but one before.
        is_global: Whether the kernels compete with each other: the smallest weights of all of them
            go, so that some layers lose more than others. False: each kernel has the same sparsity.
            Defaults to False.
        exclude: Names of layers that are left whole, such as the first and the last: they have few
            weights, and a sparsity that a large kernel bears may leave a class without any.

    History: "sparsity", the share of zeros in the pruned kernels at the end of the epoch.

    Raises:
        ValueError: If an argument is out of range; at the start of `fit`, if the model has no such
            kernel, no layer of an excluded name, or the schedule leaves [0, 1) within this `fit`.
            Where the number of steps is unknown, the schedule is checked as it is read.

    With `steps_per_execution` the weights are set to zero after each execution, not after each
    step in between. After a restart from a backup or a saved model, the zeros are found as the
    smallest weights, so no masks have to be saved. A callback that changes weights at the end, such
    as `EarlyStopping(restore_best_weights=True)`, comes before this one in the list: it may bring
    back weights of a time when fewer were zero. So do the averages that `SwapEMAWeights` swaps in
    after an epoch, and files of single epochs have them; the weights at the end are pruned.

    Zeros stay zeros in 8 bits, where they are exact: prune within `students.quantization_aware`, or
    export with `quantization="int8"` after it.

    Example:

    ```python
    schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 2000, 0.9, power=3.0)
    distiller.fit(dataset, epochs=10, callbacks=[kd.Pruning(schedule)])
    kd.export_tflite(distiller.student, "student.tflite")
    ```

    Reference: Zhu & Gupta 2017, https://arxiv.org/abs/1710.01878. Deviations: any schedule in
    place of the paper's; `is_global`; masked weights get a gradient, which is undone after the
    step, and not none; the moments of the optimizer go on.
    """

    def __init__(self, sparsity, *, frequency=100, is_global=False, exclude=()):
        super().__init__()
        check_number("sparsity", sparsity, _SPARSITY)
        check_integers(frequency=frequency)
        if not isinstance(is_global, bool):
            raise ValueError(f"is_global must be True or False. Received: is_global={is_global!r}")
        exclude = (exclude,) if isinstance(exclude, str) else exclude
        if not isinstance(exclude, Collection) or not all(isinstance(n, str) for n in exclude):
            raise ValueError(
                f"exclude must be a list of names of layers. Received: exclude={exclude!r}"
            )
        self.sparsity = sparsity
        self.frequency = frequency
        self.is_global = is_global
        self.exclude = tuple(exclude)
        self._kernels, self._set_to_zero = [], None
        self._masks, self._period, self._last = None, None, 0.0

    def on_train_begin(self, logs=None):
        self._kernels = _kernels_to_prune(students_of(self.model), self.exclude)
        self._masks, self._period = None, None
        # One function for all kernels: one by one they would take longer than a small step.
        self._set_to_zero = tf.function(functools.partial(_set_to_zero, self._kernels))

    def on_epoch_begin(self, epoch, logs=None):
        if self._masks is None:
            num_steps = num_updates(self.model.optimizer, batches_left(self, epoch))
            self._check_schedule(num_steps)
            self._warn_of_late_masks(num_steps)

    def on_train_batch_begin(self, batch, logs=None):
        # Not at the start of the training: a callback that restores weights may come later.
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
            # The optimizer's moments have moved what was zero: it would be ranked anew.
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
                # Zeros alone let nothing through, no gradient either.
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
        # Not a product: a weight that has become infinite would be NaN.
        kernel.assign(ops.where(mask, kernel, ops.zeros_like(kernel)))


def _mask(kernel, sparsity):
    """False for the smallest, of equal ones for the first: as many as the sparsity says."""
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
            f"{students[0].name!r} with the layers {sorted(names)}, exclude={exclude!r}"
        )
    return kernels
