"""Measures on a data set, their figures, and the intervals of figures and differences."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_distill._arguments.imports import import_module

_COUNTS_AT_ONCE = 2**19
_TWO_SIDED_95 = 1.959964


@dataclasses.dataclass(frozen=True)
class Measure:
    """A measure, such as accuracy.

    Args:
        name: Name of the measure.
        statistic: Function from counts `(resamples, examples)`, how often each example
            counts, to figures `(resamples,)`.
        is_share: Whether the figure is a share, which is shown in percent.
        is_higher_better: Whether higher is better.
        meaning: A few words that say what it is.
        is_right: If the figure is the share of independent examples for which something holds,
            whether it holds for each, bool `(examples,)`; else None. Such a share has an interval
            in closed form.
    """

    name: str
    statistic: Callable
    is_share: bool = False
    is_higher_better: bool = True
    meaning: str = ""
    is_right: Any = dataclasses.field(default=None, repr=False, compare=False)


def share(name, is_right, meaning):
    """The `Measure` of the share of independent examples for which something holds."""
    return Measure(name, OfSums(is_right), is_share=True, meaning=meaning, is_right=is_right)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A measured value and its 95 % interval: `wilson` for shares of examples, else bootstrap.

    Args:
        value: Value for all examples, each counted once.
        low, high: The interval, a range of plausible values for other examples of the same kind.
    """

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Difference:
    """A model's figure minus the baseline's, on the same examples.

    Args:
        value, low, high: As in `Figure`; the interval of a share is `paired_interval`.
        p_value: Two-sided p value of the paired bootstrap. A small p means that the difference
            is unlikely to be due to the choice of test examples.
    """

    value: float
    low: float
    high: float
    p_value: float


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


class Bootstrap:
    """Resamples of a data set's examples, the same ones for all models.

    So in each resample, the figures of two models differ because of the models, and not
    because of the examples.

    Args:
        num_examples: Size of the data set, and of each resample.
        num_resamples: Number of resamples.
        seed: Seed of the draws.

    Reference: Efron 1979, https://doi.org/10.1214/aos/1176344552; the intervals are
    percentile intervals.
    """

    def __init__(self, num_examples, num_resamples=1000, seed=0):
        self.num_examples = num_examples
        self._num_resamples, self._seed = num_resamples, seed

    def resample(self, statistics):
        """Computes statistics on all resamples.

        Args:
            statistics: Dict of functions from counts `(resamples, examples)` to figures.

        Returns:
            Dict of figures, `(num_resamples,)`, by the same keys.
        """
        figures = {name: [] for name in statistics}
        for counts in self._counts():
            for name, statistic in statistics.items():
                figures[name].append(statistic(counts))
        return {name: np.concatenate(parts) for name, parts in figures.items()}

    def _counts(self):
        rng = np.random.default_rng(self._seed)
        size = self.num_examples
        step = max(1, _COUNTS_AT_ONCE // size)
        for start in range(0, self._num_resamples, step):
            draws = rng.integers(size, size=(min(step, self._num_resamples - start), size))
            yield np.stack([np.bincount(row, minlength=size) for row in draws])


def interval(figures, confidence=0.95):
    """The interval `(low, high)` that contains this share of the figures; NaN is ignored."""
    if np.isnan(figures).all():
        # All are NaN for an area under the curve, for instance, if the data has only one class.
        return np.nan, np.nan
    tail = 50 * (1 - confidence)
    return tuple(np.nanpercentile(figures, [tail, 100 - tail], axis=0).tolist())


def wilson(num_right, num_examples):
    """The 95 % interval of a share; it stays wide where all or none of few examples are right.

    Args:
        num_right: Number of examples that count.
        num_examples: Number of all examples.

    Returns:
        `(low, high)`, shares from 0 to 1.

    Reference: Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.
    """
    test = import_module("scipy.stats").binomtest(int(num_right), int(num_examples))
    found = test.proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def paired_interval(one, other):
    """The 95 % interval of the difference of two shares of the same examples, one minus other.

    Args:
        one, other: Whether each model is right, bool `(examples,)`.

    Reference: Bonett & Price 2012, https://doi.org/10.3102/1076998611411915, an adjusted Wald
    interval: one example is added to either kind on which the models differ.
    """
    size = len(one) + 2
    only_one, only_other = (np.sum(one & ~other) + 1) / size, (np.sum(other & ~one) + 1) / size
    middle = only_one - only_other
    spread = _TWO_SIDED_95 * np.sqrt((only_one + only_other - middle**2) / size)
    return float(max(-1.0, middle - spread)), float(min(1.0, middle + spread))


def smallest_visible(num_different, num_examples):
    """The smallest difference of two shares at which McNemar's exact test has a p below 0.05.

    Args:
        num_different: Number of examples on which exactly one of the two models is right. With
            fewer than 6, no difference has such a p, and 6 is taken.
        num_examples: Number of all examples.

    Returns:
        A share. For smaller differences, the examples cannot tell which model is better.
    """
    count = max(6, int(num_different))
    wins = np.arange(count + 1)
    p_values = 2 * import_module("scipy.stats").binom.sf(wins - 1, count, 0.5)
    return float((2 * wins[np.argmax(p_values < 0.05)] - count) / num_examples)


def p_value(differences):
    """Two-sided p value: how often resampled differences of two models are beyond 0.

    One is added to each count, so that no finite number of resamples gives 0 (Davison &
    Hinkley 1997, section 4.2).
    """
    differences = differences[~np.isnan(differences)]
    at_least = np.sum(differences >= 0) + 1
    at_most = np.sum(differences <= 0) + 1
    return float(min(1.0, 2 * min(at_least, at_most) / (len(differences) + 1)))


def mcnemar(one, other):
    """p value of McNemar's exact test that two models have the same accuracy.

    Args:
        one, other: Whether each model is right, bool `(examples,)`.

    Reference: McNemar 1947, https://doi.org/10.1007/BF02295996, with the binomial distribution
    in place of its approximation.
    """
    num_one, num_other = np.sum(one & ~other), np.sum(other & ~one)
    if num_one + num_other == 0:
        return 1.0
    test = import_module("scipy.stats").binomtest(num_one, num_one + num_other)
    return float(test.pvalue)
