"""Where working buffers lie so that they can be filled early: where nothing has been for the longest time.

A load can be hoisted to the moment at which the bytes that it writes are free. So every buffer goes to the
place, among those that the resident maps leave, whose last use is the longest ago; and a buffer that is
filled several times is given several places, as long as there is room. Addresses only say how early a load
may come: what must wait for what follows from the program's bytes.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from mnsim.graph.model import Graph, Storage
from mnsim.plan.model import Buffer, Geometry, Segment, Tiling
from mnsim.plan.tiling import input_passes, input_strips, is_ring, tile_counts, weight_passes

Gap = tuple[int, int]  # start, end
MOST_PLACES = 16  # of one buffer: what is prefetched deeper than that is worth little, and costs time to plan
MOST_AHEAD = 32  # segments: what has not been in use for so long is as good as never used
OUTPUT_PLACES = 3  # a tile that is computed, one that is stored, and one that waits for the bus


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

    def latest(self, start: int, size: int) -> float:
        """When the last of these bytes was used last."""
        first = bisect_right(self.starts, start) - 1
        last = bisect_right(self.starts, start + size - 1)
        return max(self.times[first:last])

    def starts_in(self, gap: Gap, size: int) -> Iterator[int]:
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


def place_ahead(graph: Graph, capacity: int, resident: dict[int, int], segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The segments with their buffers where they can be filled early, more of them where there is room.

    `resident` are the addresses of storages that are in SRAM; each segment has one cut. The segments' own
    buffers are a placement that is known to fit.
    """
    used = _LastUse(capacity)
    alive: list[list[Storage]] = [[] for _ in segments]
    for index in resident:
        for step in range(graph.storages[index].first, graph.storages[index].last + 1):
            alive[step].append(graph.storages[index])
    placed = []
    for step, segment in enumerate(segments):
        (cut,) = segment.cuts
        used.forget(step - MOST_AHEAD)
        gaps = free_gaps(((resident[storage.index], storage.size_bytes) for storage in alive[step]), capacity)
        fills = count_fills(cut.geometry, cut.tiling)
        buffers = _place_all(used, gaps, _with_wider_ring(cut.geometry, cut.tiling, segment.buffers))
        buffers = buffers or _place_all(used, gaps, segment.buffers) or list(segment.buffers)
        _add_places(used, gaps, buffers, fills)
        _mark_buffers(used, step, buffers, fills)
        for storage in alive[step]:
            if storage.last == step:
                used.mark(resident[storage.index], storage.size_bytes, step + 1)
        placed.append(Segment(segment.cuts, tuple(buffers)))
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


def count_fills(geometry: Geometry, tiling: Tiling) -> dict[str, int]:
    """How often each buffer is filled while its operator runs; a ring counts as filled once, partial sums
    are worked on in place.
    """
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


def _with_wider_ring(geometry: Geometry, tiling: Tiling, buffers: Sequence[Buffer]) -> list[Buffer]:
    """The buffers with room in a ring for the next strip's rows while this one's are worked on."""
    if not geometry.in_streams or not is_ring(geometry, tiling):
        return list(buffers)
    rows = input_strips(geometry, tiling)[2]
    wider = min(geometry.rows_in, rows + tiling.rows * geometry.stride_rows)
    return [
        replace(buffer, size_bytes=buffer.size_bytes // rows * wider) if buffer.name.startswith("input strip") else buffer
        for buffer in buffers
    ]


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
    candidates = [(used.latest(start, buffer.size_bytes), start, gap) for gap in free for start in used.starts_in(gap, buffer.size_bytes)]
    if not candidates:
        return None
    _, start, gap = min(candidates)
    end = start + buffer.size_bytes
    free.remove(gap)
    free += [piece for piece in ((gap[0], start), (end, gap[1])) if piece[0] < piece[1]]
    return replace(buffer, address=start)


def _add_places(used: _LastUse, gaps: Sequence[Gap], buffers: list[Buffer], fills: dict[str, int]) -> None:
    """More places for buffers that are filled several times, one for each in turn, while there is room."""
    start_of = {(buffer.address, buffer.size_bytes) for buffer in buffers}
    free = [piece for gap in gaps for piece in _without(gap, start_of)]
    wanted = {buffer.name: buffer for buffer in buffers if fills.get(buffer.name, 1) > 1}
    counts = dict.fromkeys(wanted, 1)
    while wanted:
        for name, buffer in list(wanted.items()):
            found = _place(used, free, buffer)
            counts[name] += found is not None
            if found is not None:
                buffers.append(found)
            if found is None or counts[name] >= min(fills[name], OUTPUT_PLACES if name == "output strip" else MOST_PLACES):
                del wanted[name]


def _without(gap: Gap, pieces: Iterable[tuple[int, int]]) -> list[Gap]:
    inside = [(start - gap[0], size) for start, size in pieces if gap[0] <= start < gap[1]]
    return [(gap[0] + start, gap[0] + end) for start, end in free_gaps(inside, gap[1] - gap[0])]


def _mark_buffers(used: _LastUse, step: int, buffers: Sequence[Buffer], fills: dict[str, int]) -> None:
    """Each buffer is in use until the last of its fills is worked on."""
    names = [buffer.name for buffer in buffers]
    turns = dict.fromkeys(names, 0)
    for buffer in buffers:
        count, number = names.count(buffer.name), turns[buffer.name]
        turns[buffer.name] += 1
        total = fills.get(buffer.name, 1)
        last = number + (total - 1 - number) // count * count if total > number else number
        used.mark(buffer.address, buffer.size_bytes, step + min(1.0, (last + 1) / max(1, total)))
