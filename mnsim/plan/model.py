"""The plan: how each layer is cut, and where every byte lies while it is used."""

from dataclasses import dataclass
from typing import Literal

Stays = Literal["weights", "input", "output"]
Policy = Literal["serial", "overlap"]
POLICIES: tuple[Policy, ...] = ("serial", "overlap")
STAYS: tuple[Stays, ...] = ("weights", "input", "output")


@dataclass(frozen=True, slots=True)
class Tiling:
    """How an operator is cut into tiles.

    `rows` output rows a strip, `out_channels` output channels a block, `in_channels` input channels of one group that are
    summed at a time (C_in / groups when the sum is not split). `stays` says which operand is held while the others pass, that
    is, the order of the loops from the outside in: weights = (out block, in block, strip); input = (strip, in block, out
    block); output = (strip, out block, in block). Columns are never cut.
    """

    rows: int
    out_channels: int
    in_channels: int
    stays: Stays


@dataclass(frozen=True, slots=True)
class Home:
    """Where a feature map lies: at an SRAM address over the segments first..last (both included), or external (address None)."""

    address: int | None
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Buffer:
    """Working space of one segment in SRAM: a block of filters or biases, a strip of a map, or partial sums.

    Buffers of one name are filled in turn: while one is worked on, the next can be loaded. An input strip that shares rows with
    the strip before it is a ring of rows: row r lies at row r modulo the rows that the buffer holds.
    """

    name: str
    address: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Operators that run as one (one for now), how they are cut, and their working space."""

    operators: tuple[int, ...]
    tiling: Tiling
    buffers: tuple[Buffer, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Segments in the order in which they run, and a home for every feature map (by the map's index).

    `fused` are the vector operations that the matrix unit's output stage does.
    """

    policy: Policy
    sram_capacity_bytes: int
    fused: tuple[str, ...]
    segments: tuple[Segment, ...]
    homes: tuple[Home, ...]
