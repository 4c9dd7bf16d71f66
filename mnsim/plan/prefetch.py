"""Where working buffers lie so that they can be filled early: where nothing has been for the longest time.

A load can be hoisted to the moment at which the bytes that it writes are free. So every buffer goes to the
place, among those that the resident maps leave, whose last use is the longest ago; and a buffer that is
filled several times is given several places, as long as there is room. Addresses only say how early a load
may come: what must wait for what follows from the program's bytes.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from mnsim.plan.model import Buffer, Cut, Geometry, Segment, Tiling
from mnsim.plan.tiling import input_passes, input_strips, is_ring, tile_counts, weight_passes

WIDER = (0.5, 0.25, 0.125)  # shares of the rows that a ring lacks which it is given, if there is room
Gap = tuple[int, int]  # start, end
MOST_PLACES = 16  # of one buffer: what is prefetched deeper than that is worth little, and costs time to plan
MOST_AHEAD = 32  # segments: what has not been in use for so long is as good as never used
PLACES = {"output strip": 3, "passed block": 3}  # a tile that is computed, one that is stored or read, and one that waits


class _LastUse:
    """For every byte of the SRAM when it was last used, in segments: intervals in order of address."""

    def __init__(self, capacity: int) -> None:
        self.starts = [0]
        self.times = [-1.0]
        self.capacity = capacity

    def mark(self, start: int, size: int, time: float) -> None:
        """These bytes are in use until this time."""
        first, last = self._split(start), self._split(start + size)
        self.starts[first:last] = [start]
        self.times[first:last] = [time]

    def forget(self, time: float) -> None:
        """Bytes that were last used before this time are as good as never used."""
        kept = [(start, now if now >= time else -1.0) for start, now in zip(self.starts, self.times, strict=True)]
        new = [index for index, (_, now) in enumerate(kept) if not index or now != kept[index - 1][1]]
        self.starts, self.times = [kept[index][0] for index in new], [kept[index][1] for index in new]

    def _split(self, address: int) -> int:
        """The index of the interval that begins at the address, made if there is none."""
        if address >= self.capacity:
            return len(self.starts)
        index = bisect_right(self.starts, address) - 1
        if self.starts[index] == address:
            return index
        self.starts.insert(index + 1, address)
        self.times.insert(index + 1, self.times[index])
        return index + 1

    def best_in(self, gap: Gap, size: int, best: tuple[float, int]) -> tuple[float, int]:
        """Where in a gap a buffer of this size would lie on bytes whose last use is the longest ago: the
        time of that use, and the address; `best` if there is nothing better.
        """
        starts, times = self.starts, self.times
        for start in self._starts_in(gap, size):
            first = bisect_right(starts, start) - 1
            if times[first] <= best[0]:
                best = min(best, (max(times[first : bisect_right(starts, start + size - 1)]), start))
        return best

    def _starts_in(self, gap: Gap, size: int) -> Iterator[int]:
        """Where a buffer of this size could lie in a gap: at its ends, and where an interval begins or
        ends.
        """
        if gap[1] - gap[0] < size:
            return
        yield gap[0]
        yield gap[1] - size
        for index in range(bisect_right(self.starts, gap[0]), bisect_right(self.starts, gap[1] - 1)):
            if self.starts[index] + size <= gap[1]:
                yield self.starts[index]
            if self.starts[index] - size >= gap[0]:
                yield self.starts[index] - size


class Kept(NamedTuple):
    """A storage in SRAM: its address and size in bytes, and the segments over which it is in use."""

    address: int
    size_bytes: int
    first: int
    last: int


class Streamed(NamedTuple):
    """A storage that fused segments load into a ring: bytes of one of its rows there, and how many it has."""

    row_bytes: int
    height: int


def place_ahead(
    capacity: int, kept: Iterable[Kept], segments: Sequence[Segment], streamed: Mapping[int, Streamed] = MappingProxyType({})
) -> tuple[Segment, ...]:
    """The segments with their buffers where they can be filled early, more of them where there is room.

    `kept` are the storages that are in SRAM, `streamed` those that are loaded into rings, by index. The
    segments' own buffers are a placement that is known to fit.
    """
    used = _LastUse(capacity)
    alive: list[list[Kept]] = [[] for _ in segments]
    for storage in kept:
        for step in range(storage.first, storage.last + 1):
            alive[step].append(storage)
    placed = []
    for step, segment in enumerate(segments):
        used.forget(step - MOST_AHEAD)
        gaps = free_gaps(((storage.address, storage.size_bytes) for storage in alive[step]), capacity)
        fills = count_fills(segment)
        sized = (
            (*_widened(segment, streamed), segment.buffers)
            if segment.kind != "single"
            else (_with_wider_ring(segment.cuts[0], segment.buffers), segment.buffers)
        )
        buffers = next(filter(None, (_place_all(used, gaps, each) for each in sized)), list(segment.buffers))
        _add_places(used, gaps, buffers, fills)
        _mark_buffers(used, step, buffers, fills)
        for storage in alive[step]:
            if storage.last == step:
                used.mark(storage.address, storage.size_bytes, step + 1)
        placed.append(replace(segment, buffers=tuple(buffers)))
    return tuple(placed)


def free_gaps(occupied: Iterable[tuple[int, int]], capacity: int) -> list[Gap]:
    """What is free between occupied pieces (start, size), in order of address."""
    gaps: list[Gap] = []
    cursor = 0
    for start, size in sorted(occupied):
        if start > cursor:
            gaps.append((cursor, start))
        cursor = max(cursor, start + size)
    if cursor < capacity:
        gaps.append((cursor, capacity))
    return gaps


Role = tuple[str, int]  # a buffer's name and operator: buffers of one role are filled in turn


def role_of(buffer: Buffer) -> Role:
    """The role that a buffer plays."""
    return buffer.name, buffer.operator


def count_fills(segment: Segment) -> dict[Role, int]:
    """How often each buffer is filled while its segment runs; a ring counts as filled once, partial sums are
    worked on in place.
    """
    if segment.kind == "single":
        return {(name, cut.operator): count for cut in segment.cuts for name, count in _fills(cut.geometry, cut.tiling).items()}
    blocks = {cut.operator: tile_counts(cut.geometry, cut.tiling)[1] for cut in segment.cuts}
    return {role_of(buffer): 1 if buffer.name == "ring" else blocks[buffer.operator] for buffer in segment.buffers}


def _fills(geometry: Geometry, tiling: Tiling) -> dict[str, int]:
    if geometry.idle:
        return {}
    strips, out_blocks, in_blocks = tile_counts(geometry, tiling)
    filters, biases = weight_passes(geometry, tiling)
    passes, slices = input_passes(geometry, tiling)
    fills = {"filters": filters * out_blocks * in_blocks, "biases": biases * out_blocks, "output strip": strips * out_blocks}
    if geometry.in_streams:
        loads = 1 if is_ring(geometry, tiling) else passes * slices * in_blocks * input_strips(geometry, tiling)[1]
        fills |= {f"input strip {stream + 1}" if stream else "input strip": loads for stream in range(geometry.in_streams)}
    return fills


def _with_wider_ring(cut: Cut, buffers: Sequence[Buffer]) -> list[Buffer]:
    """The buffers with room in a ring for the next strip's rows while this one's are worked on."""
    geometry, tiling = cut.geometry, cut.tiling
    if not geometry.in_streams or not is_ring(geometry, tiling):
        return list(buffers)
    rows = input_strips(geometry, tiling)[2]
    wider = min(geometry.rows_in, rows + tiling.rows * geometry.stride_rows)
    return [
        replace(buffer, size_bytes=buffer.size_bytes // rows * wider) if buffer.name.startswith("input strip") else buffer
        for buffer in buffers
    ]


def _widened(segment: Segment, streamed: Mapping[int, Streamed]) -> Iterator[list[Buffer]]:
    """The buffers with room in rings that are loaded for half of the rows that they lack, or for a
    quarter, and so on: a load that finds no room holds up those behind it.
    """
    for share in WIDER if any(_loaded(buffer, streamed) for buffer in segment.buffers) else ():
        yield [_wider(buffer, _loaded(buffer, streamed), share) for buffer in segment.buffers]


def _loaded(buffer: Buffer, streamed: Mapping[int, Streamed]) -> Streamed | None:
    return streamed.get(buffer.storage) if buffer.name == "ring" and buffer.storage is not None else None


def _wider(buffer: Buffer, ring: Streamed | None, share: float) -> Buffer:
    if ring is None:
        return buffer
    rows = buffer.size_bytes // ring.row_bytes
    return replace(buffer, size_bytes=(rows + int((ring.height - rows) * share)) * ring.row_bytes)


def _place_all(used: _LastUse, gaps: Sequence[Gap], buffers: Sequence[Buffer]) -> list[Buffer] | None:
    """Every buffer where nothing has been for the longest time; None when one finds no room."""
    free, placed = list(gaps), []
    for buffer in buffers:
        found = _place(used, free, buffer)
        if found is None:
            return None
        placed.append(found)
    return placed


def _place(used: _LastUse, free: list[Gap], buffer: Buffer) -> Buffer | None:
    """The buffer at its best address in the free gaps, which are cut; None when there is no room."""
    found: tuple[float, int, Gap] | None = None
    for gap in free:
        time, start = used.best_in(gap, buffer.size_bytes, found[:2] if found else (inf, -1))
        if start >= 0 and (found is None or (time, start) < found[:2]):
            found = time, start, gap
    if found is None:
        return None
    _, start, gap = found
    end = start + buffer.size_bytes
    free.remove(gap)
    free += [piece for piece in ((gap[0], start), (end, gap[1])) if piece[0] < piece[1]]
    return replace(buffer, address=start)


def _add_places(used: _LastUse, gaps: Sequence[Gap], buffers: list[Buffer], fills: dict[Role, int]) -> None:
    """More places for buffers that are filled several times, one for each in turn, while there is room."""
    start_of = {(buffer.address, buffer.size_bytes) for buffer in buffers}
    free = [piece for gap in gaps for piece in _without(gap, start_of)]
    wanted = {role_of(buffer): buffer for buffer in buffers if fills.get(role_of(buffer), 1) > 1}
    counts = dict.fromkeys(wanted, 1)
    while wanted:
        for role, buffer in list(wanted.items()):
            found = _place(used, free, buffer)
            counts[role] += found is not None
            if found is not None:
                buffers.append(found)
            if found is None or counts[role] >= min(fills[role], PLACES.get(buffer.name, MOST_PLACES)):
                del wanted[role]


def _without(gap: Gap, pieces: Iterable[tuple[int, int]]) -> list[Gap]:
    inside = [(start - gap[0], size) for start, size in pieces if gap[0] <= start < gap[1]]
    return [(gap[0] + start, gap[0] + end) for start, end in free_gaps(inside, gap[1] - gap[0])]


def _mark_buffers(used: _LastUse, step: int, buffers: Sequence[Buffer], fills: dict[Role, int]) -> None:
    """Each buffer is in use until the last of its fills is worked on."""
    counts = Counter(map(role_of, buffers))
    turns = dict.fromkeys(counts, 0)
    for buffer in buffers:
        role = role_of(buffer)
        count, number = counts[role], turns[role]
        turns[role] += 1
        total = fills.get(role, 1)
        last = number + (total - 1 - number) // count * count if total > number else number
        used.mark(buffer.address, buffer.size_bytes, step + min(1.0, (last + 1) / max(1, total)))
