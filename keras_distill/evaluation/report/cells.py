"""The parts of the page's tables."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Column:
    """A column's head.

    Args:
        name: Its name.
        better: "more" or "less", whichever is better; "" for neither.
    """

    name: str
    better: str = ""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell.

    Args:
        text: Its text.
        value: What it is sorted by; None means last.
        more: Small text below, such as an interval.
        image: A PNG in base64, or None.
        color: Colour of a mark before the text, or None.
        is_marked: Whether it has a background.
        is_strong: As the first cell, whether the row stands out.
    """

    text: str
    value: Any = None
    more: str = ""
    image: str | None = None
    color: str | None = None
    is_marked: bool = False
    is_strong: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: a list of `Column`s and rows of as many `Cell`s.

    Args:
        name: What it holds, for screen readers.
        is_sortable: Whether a click on a column's head sorts it.
        is_searchable: Whether it has a field to search in.
    """

    name: str
    columns: list
    rows: list
    is_sortable: bool = False
    is_searchable: bool = False


def word(text, **more):
    """A `Cell` that is sorted by its text."""
    return Cell(text, text, **more)


def better(measure):
    """Whether more or less of a `Measure` is better."""
    return "more" if measure.is_higher_better else "less"
