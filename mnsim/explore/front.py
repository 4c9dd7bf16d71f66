"""The Pareto front: the rows that no other row beats in everything."""

import numpy as np
from numpy.typing import NDArray

from mnsim.explore.points import Array

CHUNK = 1 << 22  # comparisons at a time


def front(costs: Array) -> NDArray[np.bool_]:
    """Which rows of costs (rows x objectives, less is better) no other row dominates.

    A row dominates another that is nowhere less and somewhere more; equal rows are on the front together. A row with a NaN is not on
    it. Rows are taken in lexicographic order, in which a row is only ever dominated by an earlier one: so a row that survives those
    kept before it stays, and each is compared with the front alone (Kung, Luccio and Preparata, JACM 22, 1975, for two objectives in
    one pass).
    """
    whole = np.flatnonzero(~np.isnan(costs).any(axis=1))
    distinct, row_of = np.unique(costs[whole], axis=0, return_inverse=True)  # sorted lexicographically
    kept = _two(distinct) if costs.shape[1] == 2 else _several(distinct)
    marks = np.zeros(len(costs), np.bool_)
    marks[whole] = kept[row_of.reshape(-1)]
    return marks


def _two(costs: Array) -> NDArray[np.bool_]:
    """Of distinct rows in order: those whose second cost is less than all before."""
    least = np.minimum.accumulate(costs[:, 1])
    kept: NDArray[np.bool_] = np.append(True, costs[1:, 1] < least[:-1])[: len(costs)]
    return kept


def _several(costs: Array) -> NDArray[np.bool_]:
    """Of distinct rows in order, block by block: those that neither the front so far nor an earlier row of their block dominates."""
    kept = np.zeros(len(costs), np.bool_)
    survivors = costs[:0]
    first = 0
    while first < len(costs):
        size = max(1, min(512, CHUNK // max(1, len(survivors))))
        block = costs[first : first + size]
        alive: NDArray[np.bool_] = np.logical_not(_dominated(block, survivors))
        inner = np.flatnonzero(alive)
        alive[inner] = np.logical_not(_dominated(block[inner], block[inner]))
        kept[first : first + size] = alive
        survivors = np.concatenate([survivors, block[alive]])
        first += size
    return kept


def _dominated(rows: Array, others: Array) -> NDArray[np.bool_]:
    """Which rows one of the others, all distinct from them or the same row, dominates."""
    no_more: NDArray[np.bool_] = np.ones((len(rows), len(others)), np.bool_)
    less: NDArray[np.bool_] = np.zeros((len(rows), len(others)), np.bool_)
    for objective in range(rows.shape[1]):
        mine, theirs = rows[:, objective, None], others[None, :, objective]
        np.logical_and(no_more, theirs <= mine, out=no_more)
        np.logical_or(less, theirs < mine, out=less)
    return np.asarray(np.any(np.logical_and(no_more, less), axis=1), np.bool_)
