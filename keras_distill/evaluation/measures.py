"""A measure of a model on a data set, and the figure it comes to."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Measure:
    """What is measured.

    Args:
        name: Its name.
        statistic: Function from counts `(resamples, examples)`, how often each example
            counts, to figures `(resamples,)`.
        is_share: Whether it is a share, which is shown in percent.
        is_higher_better: Whether more is better.
    """

    name: str
    statistic: Callable
    is_share: bool = False
    is_higher_better: bool = True


@dataclasses.dataclass(frozen=True)
class Figure:
    """A measured value and its 95 % bootstrap interval.

    Args:
        value: On all examples, each once.
        low, high: The interval: what other examples of the same kind might have given.
    """

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Difference:
    """A model's figure minus the baseline's, on the same examples.

    Args:
        value, low, high: As of `Figure`.
        p_value: Of the paired bootstrap, two-sided: how easily the examples alone explain it.
    """

    value: float
    low: float
    high: float
    p_value: float
