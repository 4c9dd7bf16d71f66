"""The Pareto front: the rows that no other row dominates."""

import numpy as np
from numpy.typing import NDArray

from mnsim.clocks.recurrence import Array

SMALL = 1 << 14  # comparisons that are made one by one

Marks = NDArray[np.bool_]


def front(costs: Array) -> Marks:
    """Which rows of costs (rows x objectives, less is better) no other row dominates.

    A row dominates another that is nowhere less and somewhere more; equal rows are on the front together.
    A row with a NaN is not on it. Kung, Luccio and Preparata (JACM 22, 1975): of rows in lexicographic
    order, the first half's front is on the whole front, and the second half's front is where the first's
    does not cover it. So a million rows that are all on the front take seconds, not days.
    """
    whole = np.flatnonzero(~np.isnan(costs).any(axis=1))
    distinct, row_of = np.unique(costs[whole], axis=0, return_inverse=True)  # in lexicographic order
    marks: Marks = np.zeros(len(costs), np.bool_)
    marks[whole] = _front(distinct)[row_of.reshape(-1)]
    return marks


def _front(costs: Array) -> Marks:
    """The front of distinct rows in lexicographic order."""
    if len(costs) ** 2 <= SMALL:
        no_more = np.all(costs[None] <= costs[:, None], axis=2)  # each row is no more than itself
        return np.asarray(no_more.sum(axis=1) == 1, np.bool_)
    half = len(costs) // 2
    first, second = _front(costs[:half]), _front(costs[half:])
    best, rest = costs[:half][first], costs[half:][second]
    second[second] = np.logical_not(_covered(rest[:, 1:], best[:, 1:]))  # the first column is in order
    return np.concatenate([first, second])


def _covered(rows: Array, others: Array) -> Marks:
    """Which rows have another row that is nowhere more."""
    width = rows.shape[1]
    if not len(rows) or not len(others):
        return np.zeros(len(rows), np.bool_)
    if width == 0:
        return np.ones(len(rows), np.bool_)
    if width == 1:
        return np.asarray(rows[:, 0] >= others[:, 0].min(), np.bool_)
    if width == 2:
        return _covered_in_a_plane(rows, others)
    if len(rows) * len(others) <= SMALL:
        return np.asarray(np.any(np.all(others[None] <= rows[:, None], axis=2), axis=1), np.bool_)
    return _covered_by_halves(rows, others)


def _covered_in_a_plane(rows: Array, others: Array) -> Marks:
    """By two columns: the others in order of the first, with the least second column up to each. The last of
    them that is no more in the first decides.
    """
    ordered = others[np.argsort(others[:, 0], kind="stable")]
    least = np.minimum.accumulate(ordered[:, 1])
    last = np.searchsorted(ordered[:, 0], rows[:, 0], side="right") - 1
    return np.asarray((last >= 0) & (least[last] <= rows[:, 1]), np.bool_)


def _covered_by_halves(rows: Array, others: Array) -> Marks:
    """Both cut at a value of the first column. Rows below it are compared with others below it; rows above it
    with others above it, and by the remaining columns with others below it.
    """
    values = np.unique(np.concatenate([rows[:, 0], others[:, 0]]))
    if len(values) == 1:
        return _covered(rows[:, 1:], others[:, 1:])
    middle = values[len(values) // 2]
    low_rows, low_others = rows[:, 0] < middle, others[:, 0] < middle
    covered: Marks = np.zeros(len(rows), np.bool_)
    covered[low_rows] = _covered(rows[low_rows], others[low_others])
    high = rows[~low_rows]
    covered[~low_rows] = _covered(high[:, 1:], others[low_others][:, 1:]) | _covered(high, others[~low_others])
    return covered
