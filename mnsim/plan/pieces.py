"""The pieces that a tiling cuts an operator into, and the order in which they are worked on."""

from collections import Counter
from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from mnsim.plan.model import Geometry, Tiling

Span = tuple[int, int]  # half-open


class Strip(NamedTuple):
    """A strip of output rows, the input rows that its windows cover, and those that its buffer holds (rows
    between windows too).
    """

    rows: Span
    covered: Span
    held: Span


class Cuts(NamedTuple):
    """All strips, output blocks and input blocks (of one group) of an operator."""

    strips: tuple[Strip, ...]
    outs: tuple[Span, ...]
    ins: tuple[Span, ...]


class TileClass(NamedTuple):
    """Steps that are alike: `steps` of them, each with the same output rows and channels.

    `covered_rows` are the input rows that the windows cover, `in_channels` the input channels that one step
    sums, of `groups` groups. `is_first` and `is_last` say whether the sum over input channels begins and ends
    in the step.
    """

    steps: int
    rows: int
    covered_rows: int
    out_channels: int
    in_channels: int
    groups: int
    is_first: bool
    is_last: bool


def tile_classes(geometry: Geometry, tiling: Tiling) -> list[TileClass]:
    """The steps of an operator by class, none where it moves and computes nothing."""
    if geometry.idle:
        return []
    cuts = make_cuts(geometry, tiling)
    strips = Counter((strip.rows[1] - strip.rows[0], strip.covered[1] - strip.covered[0]) for strip in cuts.strips)
    outs = Counter((last - first, ceil(last / geometry.group_out) - first // geometry.group_out) for first, last in cuts.outs)
    ends = len(cuts.ins) - 1
    ins = Counter((last - first, place == 0, place == ends) for place, (first, last) in enumerate(cuts.ins))
    return [
        TileClass(s * o * i, rows, covered, size, part * groups, groups, is_first, is_last)
        for (rows, covered), s in strips.items()
        for (size, groups), o in outs.items()
        for (part, is_first, is_last), i in ins.items()
    ]


def make_cuts(geometry: Geometry, tiling: Tiling) -> Cuts:
    """The pieces, in ascending order."""
    return Cuts(tuple(_strips(geometry, tiling)), tuple(_outs(geometry, tiling.out_channels)), spans(geometry.group_in, tiling.in_channels))


def walk(cuts: Cuts, stays: str) -> Iterator[tuple[int, int, int]]:
    """The steps (strip, output block, input block) in the order of the loops that `Tiling` states."""
    strips, outs, ins = (range(len(pieces)) for pieces in cuts)
    if stays == "weights":
        yield from ((s, o, i) for o in outs for i in ins for s in strips)
    elif stays == "input":
        yield from ((s, o, i) for s in strips for i in ins for o in outs)
    else:
        yield from ((s, o, i) for s in strips for o in outs for i in ins)


def spans(extent: int, size: int, lead: int = 0) -> tuple[Span, ...]:
    """Spans of one size one after another, the first with `lead` more, the last cut short."""
    starts = range(size + lead, extent, size)
    return tuple(zip((0, *starts), (*starts, extent), strict=True))


def _outs(geometry: Geometry, size: int) -> Iterator[Span]:
    """Parts of each group in turn, or multiples of whole groups."""
    if size >= geometry.group_out:
        yield from spans(geometry.out_channels, size)
        return
    for first in range(0, geometry.out_channels, geometry.group_out):
        yield from ((first + start, first + end) for start, end in spans(geometry.group_out, size))


def _strips(geometry: Geometry, tiling: Tiling) -> Iterator[Strip]:
    kernel, stride, pad = geometry.kernel_rows, geometry.stride_rows, geometry.pad_top
    before = 0
    for start, end in spans(geometry.rows_out, tiling.rows, tiling.lead):
        first, last = start * stride - pad, (end - 1) * stride - pad + kernel
        covered = min(max(0, first), geometry.rows_in), min(max(0, last), geometry.rows_in)  # no row where all of it is padding
        held_end = geometry.rows_in if end == geometry.rows_out else covered[1]
        yield Strip((start, end), covered, (min(covered[0], before), held_end))
        before = held_end
