"""Measures of a model on a data set, their figures and differences."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Measure:
    """A measure, such as accuracy.

    Args:
        name: Name of the measure.
        statistic: Function from counts `(resamples, examples)`, how often each example
            counts, to figures `(resamples,)`.
        is_share: Whether the figure is a share, which is shown in percent.
        is_higher_better: Whether higher is better.
    """

    name: str
    statistic: Callable
    is_share: bool = False
    is_higher_better: bool = True


@dataclasses.dataclass(frozen=True)
class Figure:
    """A measured value and its 95 % bootstrap interval.

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
        value, low, high: As in `Figure`.
        p_value: Two-sided p value of the paired bootstrap. A small p means that the difference
            is unlikely to be due to the choice of test examples.
    """

    value: float
    low: float
    high: float
    p_value: float
