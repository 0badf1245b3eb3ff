"""Mean and covariance of a teacher's activations, kept in place of its data."""

import json

import keras
import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import check_integer
from keras_distill._files.destination import replaced_file
from keras_distill.data.inputs import DistillationInputs
from keras_distill.distillation.label_checks import known_outputs
from keras_distill.distillation.teacher_pass import TeacherPass
from keras_distill.teachers.identity import identify_teacher


class ActivationStatistics:
    """Means and covariances of a teacher's activations, without any example of its data.

    `record_statistics` makes them, and `synthesize` reads them.

    Args:
        counts: How many examples each group has, `(groups,)`: one group for each class, or one
            for all examples.
        means: Dict from the taps' paths to `(groups, width)`; width is the number of activations
            of one example, flattened.
        covariances: Dict from the taps' paths to `(groups, width, width)`, or to the variances
            `(groups, width)`. They divide by the number of examples.
        lowest: Dict from the taps' paths to the lowest activation of all examples.
        inputs: Dict of "mean", "deviation", "lowest" and "highest" of all numbers in the inputs.
        teacher: Hash of the teacher's weights.
    """

    def __init__(self, counts, means, covariances, lowest, inputs, teacher):
        self.counts = counts
        self.means = means
        self.covariances = covariances
        self.lowest = lowest
        self.inputs = inputs
        self.teacher = teacher

    @property
    def taps(self):
        """The paths, in the order in which they were given."""
        return list(self.means)

    def save(self, path):
        """Writes an .npz file; an existing file is replaced in one step."""
        settings = {
            "taps": self.taps,
            "lowest": self.lowest,
            "inputs": self.inputs,
            "teacher": self.teacher,
        }
        arrays = {"counts": self.counts, "settings": np.array(json.dumps(settings))}
        for index, tap in enumerate(self.taps):
            arrays[f"mean_{index}"] = self.means[tap]
            arrays[f"covariance_{index}"] = self.covariances[tap]
        with replaced_file(path) as hidden, open(hidden, "wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path):
        """Reads a file that `save` has written."""
        with np.load(path) as arrays:
            settings = json.loads(str(arrays["settings"]))
            taps = settings.pop("taps")
            means = {tap: arrays[f"mean_{index}"] for index, tap in enumerate(taps)}
            covariances = {tap: arrays[f"covariance_{index}"] for index, tap in enumerate(taps)}
            return cls(arrays["counts"], means, covariances, **settings)

    def check_teacher(self, teacher):
        """Raises `ValueError` unless these are statistics of this teacher with these weights."""
        if weights_hash(teacher) != self.teacher:
            raise ValueError(
                "statistics must be those of this teacher, with these weights: activations of "
                "another mean nothing in it. Received: statistics of a teacher with other weights. "
                "Record them with record_statistics(teacher, dataset, taps)."
            )

    def draw(self, groups, rng):
        """Draws activations from a normal distribution for each group.

        Args:
            groups: The group of each example, int `(examples,)`.
            rng: A `numpy.random.Generator`.

        Returns:
            Dict from path to float32 `(examples, width)`.
        """
        return {tap: self._draw(tap, groups, rng) for tap in self.taps}

    def _draw(self, tap, groups, rng):
        means, covariances = self.means[tap], self.covariances[tap]
        drawn = rng.normal(size=(len(groups), means.shape[1]))
        for group in np.unique(groups):
            spread = covariances[group]
            is_of_group = groups == group
            if spread.ndim == 1:
                drawn[is_of_group] *= np.sqrt(spread)
            else:
                # A Cholesky factor does not exist if a unit never varies, as dead units do not.
                variances, axes = np.linalg.eigh(spread)
                root = axes * np.sqrt(np.maximum(variances, 0))
                drawn[is_of_group] = drawn[is_of_group] @ root.T
        # A ReLU's activations are never below 0, but draws from a normal distribution may be.
        return np.maximum(means[groups] + drawn, self.lowest[tap]).astype("float32")


def record_statistics(teacher, dataset, taps, *, by_class=True, max_covariance_width=1024):
    """Runs the teacher over its data once and keeps means and covariances of activations.

    ```
    mean       = sum_i a_i / n
    covariance = sum_i (a_i - mean) (a_i - mean)^T / n      for each tap and each class
    ```

    a_i are the activations of example i, flattened. They are summed in float64.

    Args:
        teacher: A built `keras.Model` with one input of floats.
        dataset: A finite, batched `tf.data.Dataset` of `(x, y)`, or of x if by_class is False. y
            are the classes, integers `(batch,)` from 0.
        taps: List of paths of the teacher's layers, such as `["logits"]`, or "output" for its
            output.
        by_class: Whether each class has statistics of its own. Defaults to True.
        max_covariance_width: For wider activations, only the variances are kept. Defaults to
            1024, which takes 8 MB for each class.

    Returns:
        An `ActivationStatistics`.

    Raises:
        ValueError: If a tap names no layer, the data is empty, endless or lacks the y that
            by_class needs, or the teacher is not built.

    Example:

    >>> teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="logits")])
    >>> dataset = tf.data.Dataset.from_tensor_slices((np.ones((8, 4), "float32"), np.arange(8) % 3))
    >>> statistics = record_statistics(teacher, dataset.batch(4), ["logits"])
    >>> statistics.counts
    array([3, 3, 2])
    >>> statistics.covariances["logits"].shape
    (3, 3, 3)

    Reference: Lopes et al. 2017, https://arxiv.org/abs/1710.07535, with the top layer or all
    layers as taps; the authors' code keeps statistics of each class. Deviations: activations are
    the tapped layer's outputs, where that code takes them before the ReLU; here the width decides
    between variances and covariances, there it depends on whether a Cholesky factor exists. The
    paper's spectral statistics of pairs of activations are not implemented.
    """
    if not (isinstance(teacher, keras.Model) and teacher.built and teacher.weights):
        raise ValueError(
            "teacher must be a keras.Model that is built, as the gradient to its inputs is needed "
            f"later. Received: teacher={teacher!r}"
        )
    if not isinstance(taps, (list, tuple)) or not taps:
        raise ValueError(f'taps must be a list of paths, such as ["logits"]. Received: {taps!r}')
    max_covariance_width = check_integer("max_covariance_width", max_covariance_width, minimum=0)
    _check_dataset(dataset)
    teacher_pass = TeacherPass(teacher, taps)
    shape = getattr(known_outputs(teacher), "shape", ())
    num_classes = shape[-1] if len(shape) == 2 and (shape[-1] or 0) > 1 else None
    sums = {tap: _Sums(max_covariance_width) for tap in taps}
    counts, inputs = np.zeros(0, "int64"), _Sums(0)
    for batch in dataset:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        if isinstance(x, (dict, list, tuple)):
            raise ValueError(
                "dataset must have one tensor x, which the teacher reads. Received: x of type "
                f"{type(x).__name__}"
            )
        groups = _classes(y, len(x), num_classes) if by_class else np.zeros(len(x), "int64")
        counts = _added(counts, np.bincount(groups))
        activations = teacher_pass(DistillationInputs(x), with_output=False)
        for tap in taps:
            sums[tap].add(activations[tap], groups)
        inputs.add(tf.reshape(x, (-1, 1)), np.zeros(tf.size(x), "int64"))
    if not counts.sum():
        raise ValueError("dataset must have an example. Received: an empty dataset.")
    return ActivationStatistics(
        counts,
        {tap: sums[tap].means() for tap in taps},
        {tap: sums[tap].covariances() for tap in taps},
        {tap: sums[tap].lowest for tap in taps},
        {
            "mean": float(inputs.means()[0, 0]),
            "deviation": float(np.sqrt(inputs.covariances()[0, 0])),
            "lowest": inputs.lowest,
            "highest": inputs.highest,
        },
        weights_hash(teacher),
    )


def _check_dataset(dataset):
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(
            "dataset must be a batched tf.data.Dataset of (x, y), or of x with by_class=False. "
            f"Received: dataset of type {type(dataset).__name__}"
        )
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "dataset must be finite. Received: an endless data set. Leave out repeat()."
        )


def weights_hash(teacher):
    """Hash that distinguishes a teacher from the same model with other weights."""
    return identify_teacher(teacher, version=None)["weights"]


class _Sums:
    """Sums of activations and of their products, for each group, in float64."""

    def __init__(self, max_covariance_width):
        self._max_width = max_covariance_width
        self._counts = self._shift = self._sums = self._products = None
        self.lowest, self.highest = np.inf, -np.inf

    def add(self, values, groups):
        values = np.asarray(values, "float64").reshape(len(groups), -1)
        if not len(values):
            return
        if not np.isfinite(values).all():
            raise ValueError(
                "The teacher's inputs and activations must be finite. Received: "
                f"{values[~np.isfinite(values)][0]}"
            )
        self.lowest = float(min(self.lowest, values.min()))
        self.highest = float(max(self.highest, values.max()))
        if self._shift is None:
            # The shift prevents cancellation between squares of large, nearly equal numbers.
            self._shift = values.mean(axis=0)
        values = values - self._shift  # In place, this would change float64 data.
        num_groups = groups.max() + 1
        is_wide = values.shape[1] > self._max_width
        sums = np.zeros((num_groups, values.shape[1]))
        products = np.zeros(sums.shape if is_wide else (*sums.shape, values.shape[1]))
        for group in np.unique(groups):
            members = values[groups == group]
            sums[group] = members.sum(axis=0)
            products[group] = (members**2).sum(axis=0) if is_wide else members.T @ members
        self._counts = _added(self._counts, np.bincount(groups))
        self._sums = _added(self._sums, sums)
        self._products = _added(self._products, products)

    def means(self):
        return np.where(self._divisors() > 0, self._sums / self._safe(), 0) + self._shift

    def covariances(self):
        means = self._sums / self._safe()
        if self._products.ndim == 2:
            return np.maximum(self._products / self._safe() - means**2, 0)
        return self._products / self._safe()[:, None] - means[:, :, None] * means[:, None]

    def _divisors(self):
        return self._counts[:, None]

    def _safe(self):
        # A class without examples has a count of 0, and is never drawn.
        return np.maximum(self._divisors(), 1)


def _added(sums, more):
    """Adds arrays `(groups, ...)`, one of which may have fewer groups."""
    if sums is None:
        return more
    longer, shorter = (sums, more) if len(sums) >= len(more) else (more, sums)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total


def _classes(y, num_examples, num_classes):
    y = None if y is None else np.asarray(y)
    is_class = y is not None and y.dtype.kind in "iu" and y.shape == (num_examples,)
    if not is_class or (num_examples and y.min() < 0):
        raise ValueError(
            "by_class needs the class of each example, integers (batch,) from 0, as the dataset's "
            f"y. Received: {'no y' if y is None else f'y of {y.dtype} and shape {y.shape}'}. Give "
            "(x, y), or by_class=False."
        )
    if num_classes is not None and num_examples and y.max() >= num_classes:
        # The largest label fixes the number of classes, each with a covariance in memory.
        raise ValueError(
            f"y must be classes from 0 to {num_classes - 1}: the teacher has {num_classes} "
            f"outputs. Received: class {y.max()}. Number them as it does, or give by_class=False."
        )
    return y.astype("int64")
