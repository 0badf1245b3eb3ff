"""Bootstrap confidence intervals: the effect of the choice of examples on a figure."""

import numpy as np

_COUNTS_AT_ONCE = 2**19


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


def p_value(differences):
    """Two-sided p value: how often resampled differences of two models are beyond 0.

    One is added to each count, so that no finite number of resamples gives 0 (Davison &
    Hinkley 1997, section 4.2).
    """
    differences = differences[~np.isnan(differences)]
    at_least = np.sum(differences >= 0) + 1
    at_most = np.sum(differences <= 0) + 1
    return float(min(1.0, 2 * min(at_least, at_most) / (len(differences) + 1)))
