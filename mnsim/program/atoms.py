"""A memory's bytes cut into atoms, the largest pieces that no region of a program cuts.

What holds for one byte of an atom holds for all of it, so a feature map of 800 KB that whole strips write
and read is a few atoms.
"""

from collections.abc import Callable, Iterable, Sequence
from math import gcd
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from mnsim.program.model import Region

Runs = tuple[int, int, int, int]  # start, bytes of a run, stride, how many
Place = slice | NDArray[np.int64]  # the atoms of a region, as an index

runs_of: Callable[[Region], Runs] = attrgetter("start", "run_bytes", "stride_bytes", "runs")


def in_one_piece(runs: Runs) -> bool:
    """Whether there are no gaps between the runs."""
    _, run, stride, count = runs
    return count == 1 or run == stride


def extents(pieces: Iterable[Runs]) -> list[tuple[int, int]]:
    """The intervals from the first to the last byte of each piece, in order; those that overlap or touch
    are one.
    """
    merged: list[tuple[int, int]] = []
    for start, end in sorted((start, start + (runs - 1) * stride + run) for start, run, stride, runs in pieces):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


class Atoms:
    """The atoms of a memory, in order: their `size_bytes` and `first_byte`; `places` has those of each of
    the `known` runs.
    """

    def __init__(self, known: Sequence[Runs]) -> None:
        pieces = [(piece[0], piece[1] * piece[3], piece[1] * piece[3], 1) if in_one_piece(piece) else piece for piece in known]
        unit = gcd(*(number for piece in pieces for number in piece[:3])) or 1
        used = extents(pieces) or [(0, 0)]
        first = np.array([start for start, _ in used]) // unit
        length = np.array([end for _, end in used]) // unit - first
        shift = np.cumsum(length) - length - first  # only bytes in use are looked at: the extents stand one after another
        table = np.array(pieces, np.int64).reshape(-1, 4) // (unit, unit, unit, 1)
        table[:, 0] += shift[np.searchsorted(first, table[:, 0], "right") - 1]
        cuts = np.zeros(int(length.sum()) + 1, bool)
        for start, run, stride, runs in table.tolist():
            last = start + (runs - 1) * stride + 1
            cuts[start:last:stride] = cuts[start + run : last + run : stride] = True
        rank = np.cumsum(cuts, dtype=np.int32) - cuts  # the number of atoms before each address
        self.places = {runs: _place(rank, *piece) for runs, piece in zip(known, table.tolist(), strict=True)}
        edges = np.flatnonzero(cuts)
        self.size_bytes = np.diff(edges) * unit
        self.first_byte = (edges[:-1] - shift[np.searchsorted(first + shift, edges[:-1], "right") - 1]) * unit


def _place(rank: NDArray[np.int32], start: int, run: int, stride: int, runs: int) -> Place:
    """The atoms of runs of addresses."""
    if runs == 1:
        return slice(int(rank[start]), int(rank[start + run]))
    last = start + (runs - 1) * stride + 1
    begin = rank[start:last:stride].astype(np.int64)
    count = rank[start + run : last + run : stride] - begin
    step = int(begin[1] - begin[0])
    if count.max() == 1 and (np.diff(begin) == step).all():
        return slice(int(begin[0]), int(begin[-1]) + 1, step)  # a view: the usual case, one size of block in all of a map
    before = np.cumsum(count) - count
    atoms: NDArray[np.int64] = np.arange(int(count.sum())) + np.repeat(begin - before, count)
    return atoms
