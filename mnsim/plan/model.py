"""The plan: how each layer is cut, and where every byte lies while it is used."""

from dataclasses import dataclass, field
from typing import Literal

from mnsim.spec.records import Policy

Stays = Literal["weights", "input", "output"]
Kind = Literal["single", "rows", "channels"]
Order = Literal["demand", "pipelined"]
STAYS: tuple[Stays, ...] = ("weights", "input", "output")


@dataclass(frozen=True, slots=True)
class Tiling:
    """How an operator is cut into tiles.

    `rows` output rows a strip, `out_channels` output channels a block, `in_channels` input channels of one
    group that are summed at a time (C_in / groups when the sum is not split). `stays` says which operand
    is held while the others pass, that is, the order of the loops from the outside in: weights = (out
    block, in block, strip); input = (strip, in block, out block); output = (strip, out block, in block).
    Columns are never cut. The first strip has `lead` rows more than the others: those that the windows of
    the next operator of a segment cover before its first row.
    """

    rows: int
    out_channels: int
    in_channels: int
    stays: Stays
    lead: int = 0


@dataclass(frozen=True, slots=True)
class Geometry:
    """What tiling needs to know of an operator: extents, bytes, and which of its maps stream from or to
    external memory.

    `in_row_bytes` and `out_row_bytes` are one row of one channel. `filter_bytes` and `bias_bytes` are all
    of the operator's, `kernel_bytes` those of one input and one output channel, `channel_bytes` those of
    one output channel's numbers beside filters; with `late_numbers` some of these wait for the end of a
    sum. `in_streams` are how many inputs stream (an addition has several) and `in_sources` in how many
    transfers one tile of them comes: a concat that copies is one stream of many sources, and stores its
    tile in `out_targets` slices.
    """

    rows_in: int
    rows_out: int
    in_channels: int
    out_channels: int
    groups: int
    kernel_rows: int
    stride_rows: int
    pad_top: int
    in_row_bytes: int
    out_row_bytes: int
    filter_bytes: int
    bias_bytes: int
    kernel_bytes: int
    channel_bytes: int
    late_numbers: bool
    in_streams: int
    in_sources: int
    out_streams: bool
    out_targets: int
    in_place: bool
    splits_channels: bool
    partial_row_bytes: int
    idle: bool

    @property
    def group_out(self) -> int:
        return self.out_channels // self.groups

    @property
    def group_in(self) -> int:
        return self.in_channels // self.groups


@dataclass(frozen=True, slots=True)
class Stream:
    """An external map that a fused segment loads into a ring, once: `rows` rows a load, the first time
    `lead` rows more.
    """

    map: int
    rows: int
    lead: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """An operator with its tiles.

    `geometry` is what the operator reads, writes, streams and keeps under this plan; the planner makes it,
    everybody else reads it. `loads_whole` are the network's inputs that are loaded into their homes in
    SRAM before the first tile, `stores_whole` its outputs that are stored from there after the last one;
    both are indices of maps. `streams` are the maps that the operator is the first in its segment to read
    from external memory; an operator that runs alone has its tiles loaded instead (`Geometry.in_streams`).
    """

    operator: int
    geometry: Geometry
    tiling: Tiling
    loads_whole: tuple[int, ...] = ()
    stores_whole: tuple[int, ...] = ()
    streams: tuple[Stream, ...] = ()


@dataclass(frozen=True, slots=True)
class Home:
    """Where a feature map lies: at an SRAM address over the segments first..last (both included), in
    external memory (address None), or in a ring of the one segment that makes and reads it (`is_passed`).
    """

    address: int | None
    first: int
    last: int
    is_passed: bool = False

    @property
    def is_external(self) -> bool:
        return self.address is None and not self.is_passed


@dataclass(frozen=True, slots=True)
class Buffer:
    """Working space of an operator in SRAM: a block of filters or biases, a strip of a map, or partial
    sums.

    Buffers of one name are filled in turn: while one is worked on, the next can be loaded. An input strip
    that shares rows with the strip before it is a ring of rows: row r lies at row r modulo the rows that
    the buffer holds. So is the ring of a fused segment, through which rows of maps of `storage` pass.
    """

    name: str
    address: int
    size_bytes: int
    operator: int
    storage: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """Operators that run together: their cuts in order, and the working space that all of them share SRAM
    with.

    `kind` single: one operator's tiles after another's. rows: all filters lie in SRAM, and strips of rows
    pass from operator to operator. channels: the input lies in SRAM, and blocks of channels pass. `order`
    is that of the strips of a rows pass: on demand, each just before it is read; or pipelined, so that the
    operators work on different strips at a time.
    """

    cuts: tuple[Cut, ...]
    buffers: tuple[Buffer, ...]
    kind: Kind = "single"
    order: Order = "demand"


@dataclass(frozen=True, slots=True)
class Plan:
    """Segments in the order in which they run, and a home for every feature map (by the map's index).

    `fused` are the vector operations that the matrix unit's output stage does. The search dropped
    `dropped_ways` before their end. Of the plans that it chose from none moves over `at_most_fewer_bytes`
    less, where a command counts as many bytes as it does to the search.
    """

    policy: Policy
    sram_capacity_bytes: int
    fused: tuple[str, ...]
    segments: tuple[Segment, ...]
    homes: tuple[Home, ...]
    at_most_fewer_bytes: int = field(default=0, compare=False)
    dropped_ways: int = field(default=0, compare=False)

    @property
    def exact(self) -> bool:
        """Whether it is proved that no plan that the search chose from moves less."""
        return self.at_most_fewer_bytes == 0

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """All cuts, in the order in which they run."""
        return tuple(cut for segment in self.segments for cut in segment.cuts)


def cuts_of(plan: Plan) -> dict[int, Cut]:
    """Every operator's cut, by the operator's index."""
    return {cut.operator: cut for cut in plan.cuts}


def segments_of(plan: Plan) -> dict[int, int]:
    """The number of the segment in which each operator runs, by the operator's index."""
    return {cut.operator: number for number, segment in enumerate(plan.segments) for cut in segment.cuts}


def lifetime(plan: Plan, home: Home) -> tuple[int, int]:
    """The first and the last operator of the segments over which a map has its home."""
    return plan.segments[home.first].cuts[0].operator, plan.segments[home.last].cuts[-1].operator
