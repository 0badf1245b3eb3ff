"""Figures of a data set as functions of the counts of its examples, for the bootstrap."""

import numpy as np

from keras_distill._arguments.imports import import_module


class OfSums:
    """A figure that depends on sums over the examples: a mean, an F1, a calibration error.

    Args:
        contributions: Terms of each example, `(examples,)` or `(examples, terms)`, an
            array or a SciPy sparse array.
        function: Function from sums `(resamples, terms)` to figures `(resamples,)`, or
            `(resamples, figures)`. None means the mean of a single term over the examples.
    """

    def __init__(self, contributions, function=None):
        is_vector = contributions.ndim == 1
        self._contributions = contributions[:, None] if is_vector else contributions
        self._function = function

    def of_groups(self, groups):
        """The same figure, but resamples draw whole groups of examples.

        Args:
            groups: The group of each example, int `(examples,)`.
        """
        sparse = import_module("scipy.sparse")
        members = (np.ones(len(groups)), (groups, np.arange(len(groups))))
        sums = sparse.csr_array(members) @ np.column_stack(
            [_dense(self._contributions), np.ones(len(groups))]
        )
        if self._function is None:
            return OfSums(sums, lambda sums: sums[:, 0] / sums[:, 1])
        return OfSums(sums, lambda sums: self._function(sums[:, :-1]))

    def __call__(self, counts):
        """Returns the figures for the counts of each example, `(resamples, examples)`."""
        # Counts become floats, because NumPy has no fast matrix product of integers.
        sums = np.asarray((self._contributions.T @ counts.T.astype("float64")).T)
        if self._function is None:
            return sums[:, 0] / counts.sum(axis=1)
        return self._function(sums)


class OfCounts:
    """A figure that needs all examples at once, such as an area under a curve.

    Args:
        function: Function from counts `(resamples, examples)` to figures `(resamples,)`,
            NaN if the figure is undefined.
    """

    def __init__(self, function):
        self._function = function

    def of_groups(self, groups):
        """As `OfSums.of_groups`."""
        return OfCounts(lambda counts: self._function(counts[:, groups]))

    def __call__(self, counts):
        return self._function(counts)


def of_examples(function):
    """The `OfCounts` of a function from indices of examples, possibly repeated, to a figure."""
    return OfCounts(
        lambda counts: np.array([function(np.repeat(np.arange(len(row)), row)) for row in counts])
    )


def _dense(contributions):
    return contributions if isinstance(contributions, np.ndarray) else contributions.toarray()


def on_all(statistic, num_examples):
    """The figure for all examples, each counted once."""
    return statistic(np.ones((1, num_examples), "int64"))[0]
