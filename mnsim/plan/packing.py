"""Addresses for blocks that live for some steps each, so that what is alive at one step never overlaps.

Heuristics come first and nearly always do. An exact search follows (`placement_search`).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import accumulate

from mnsim.errors import CapacityError


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes that must keep one address over the steps first..last, both included.

    Parts that lie at fixed distances (an output that overwrites its input, say) are one block: of the bytes
    that they take together, alive from the first step to the last of any. Its address and the distances are
    theirs.
    """

    size_bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class _Group:
    """Blocks whose lifetimes hang together, by their indices (`members`).

    A heuristic put them at these addresses, and they take `height` bytes there.
    """

    members: tuple[int, ...]
    addresses: tuple[int, ...]
    height: int


def place_blocks(blocks: Sequence[Block], capacity: int, steps: Sequence[str], node_limit: int = 20_000) -> tuple[int, ...]:
    """An address (bytes from 0) for every block: all end at `capacity` or below, and none overlap at a step.

    `steps` are the names of the layers at the steps 0, 1, ... What can be placed is placed, unless the exact
    search needs more than `node_limit` nodes (one with many blocks counts as several).

    Raises CapacityError when the blocks are not placed. With its `needed_bytes` of memory they are. Its
    `layer` is the step of the largest load; where every load fits, among the steps of the blocks that found
    no place.
    """
    loads = _loads(blocks, len(steps))
    peak = max(loads, default=0)
    goal = max(capacity, peak)
    order = sorted((index for index, block in enumerate(blocks) if block.size_bytes), key=lambda index: blocks[index].first)
    groups = sorted((_arrange(blocks, members, goal) for members in apart(blocks, order)), key=lambda group: group.height)
    addresses = [0] * len(blocks)
    needed = capacity if peak <= capacity else groups[-1].height  # where the load is too large, no search helps
    lives = range(len(steps))
    for group in groups:  # the lowest first: what one of them needs, all higher ones may use
        places: tuple[int, ...] | None = group.addresses
        if group.height > needed:
            places, nodes = _search([blocks[member] for member in group.members], needed, node_limit)
            node_limit -= nodes
        if places is None:
            needed, places = group.height, group.addresses
            lives = range(blocks[group.members[0]].first, max(blocks[member].last for member in group.members) + 1)
        for member, address in zip(group.members, places, strict=True):
            addresses[member] = address
    if needed > capacity:
        raise CapacityError("internal memory", needed, capacity, steps[max(lives, key=lambda step: loads[step])])
    return tuple(addresses)


def _loads(blocks: Sequence[Block], steps: int) -> list[int]:
    """The bytes that are alive at every step."""
    changes = [0] * (steps + 1)
    for block in blocks:
        changes[block.first] += block.size_bytes
        changes[block.last + 1] -= block.size_bytes
    return list(accumulate(changes))[:steps]


def apart(blocks: Sequence[Block], members: Iterable[int]) -> Iterator[list[int]]:
    """The members, which are in the order of birth, by groups of lifetimes that overlap one another."""
    group: list[int] = []
    reach = -1
    for member in members:
        if group and blocks[member].first > reach:
            yield group
            group = []
        group.append(member)
        reach = max(reach, blocks[member].last)
    if group:
        yield group


def squeeze(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The same blocks over fewer steps: what is alive at one left out is all alive at another one."""
    births = sorted({block.first for block in blocks})
    deaths = sorted({block.last for block in blocks})
    ends = [*births[1:], deaths[-1] + 1]
    kept = [birth for birth, end in zip(births, ends, strict=True) if bisect_left(deaths, end) > bisect_left(deaths, birth)]
    return tuple(Block(block.size_bytes, bisect_left(kept, block.first), bisect_right(kept, block.last) - 1) for block in blocks)


def _arrange(blocks: Sequence[Block], members: Sequence[int], goal: int) -> _Group:
    """A group, as low as the heuristics put it; the first that keeps below the goal will do."""
    squeezed = squeeze([blocks[member] for member in members])
    tried: list[tuple[int, list[int]]] = []
    for heuristic in _HEURISTICS:
        addresses = heuristic(squeezed)
        tried.append((max(address + block.size_bytes for address, block in zip(addresses, squeezed, strict=True)), addresses))
        if tried[-1][0] <= goal:
            break
    height, addresses = min(tried, key=lambda attempt: attempt[0])
    return _Group(tuple(members), tuple(addresses), height)


def _fit(blocks: Sequence[Block], tightest: bool) -> list[int]:
    """The largest block first, into the lowest gap that holds it or the tightest one; else on top of all."""
    taken: list[list[tuple[int, int]]] = [[] for _ in range(max(block.last for block in blocks) + 1)]
    addresses = [0] * len(blocks)
    for index in sorted(range(len(blocks)), key=lambda index: (-blocks[index].size_bytes, blocks[index].first, index)):
        block = blocks[index]
        alive = taken[block.first : block.last + 1]
        intervals = alive[0] if len(alive) == 1 else sorted(set().union(*alive))
        addresses[index] = address = _gap(intervals, block.size_bytes, tightest)
        for step in alive:
            _take(step, address, address + block.size_bytes)
    return addresses


def _gap(intervals: Sequence[tuple[int, int]], size: int, tightest: bool) -> int:
    """Where a gap starts between the intervals (start, end), or above all of them."""
    cursor = 0
    found: tuple[int, int] | None = None
    for start, end in intervals:
        room = start - cursor
        if room >= size and (found is None or room < found[0]):
            found = room, cursor
            if not tightest:
                break
        cursor = max(cursor, end)
    return cursor if found is None else found[1]


def _take(step: list[tuple[int, int]], start: int, end: int) -> None:
    """Add an interval to those of a step, as one with those that it touches, so that they stay few."""
    after = before = bisect_left(step, (start, end))
    if after < len(step) and step[after][0] == end:
        end = step[after][1]
        after += 1
    if before and step[before - 1][1] == start:
        before -= 1
        start = step[before][0]
    step[before:after] = [(start, end)]


def _lay(blocks: Sequence[Block], by_area: bool) -> list[int]:
    """A skyline: the block that can lie lowest comes next.

    Of several the one of the largest area, or the one that is alive for the most steps.
    """
    tops = [0] * (max(block.last for block in blocks) + 1)
    waiting: dict[tuple[int, int], list[int]] = {}  # by lifetime: only the largest block of each is in the heap
    for index in sorted(range(len(blocks)), key=lambda index: (blocks[index].size_bytes, -index)):
        waiting.setdefault((blocks[index].first, blocks[index].last), []).append(index)
    addresses = [0] * len(blocks)
    heap = [(0, _rank(blocks[indices[-1]], by_area), life) for life, indices in waiting.items()]
    heapify(heap)
    while heap:
        floor, _, life = heappop(heap)
        first, last = life
        top = max(tops[first : last + 1])
        if top == floor:  # else it has risen since the block was queued
            index = waiting[life].pop()
            addresses[index] = floor
            top += blocks[index].size_bytes
            tops[first : last + 1] = [top] * (last + 1 - first)
        if waiting[life]:
            heappush(heap, (top, _rank(blocks[waiting[life][-1]], by_area), life))
    return addresses


def _rank(block: Block, by_area: bool) -> tuple[int, int]:
    steps = block.last + 1 - block.first
    return (-steps * block.size_bytes, -steps) if by_area else (-steps, -block.size_bytes)


_HEURISTICS = (partial(_fit, tightest=False), partial(_fit, tightest=True), partial(_lay, by_area=False), partial(_lay, by_area=True))


def _search(blocks: Sequence[Block], capacity: int, node_limit: int) -> tuple[tuple[int, ...] | None, int]:
    """Addresses if the exact search finds them, and the nodes that it took."""
    from mnsim.plan.placement_search import Search  # few plans need it

    search = Search(blocks, capacity)
    search.run(node_limit)
    return search.addresses, search.nodes
