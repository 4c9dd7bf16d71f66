"""Addresses for blocks that live for some steps each, so that what is alive at one step never overlaps.

Heuristics come first and nearly always do. An exact search follows: from the lowest address up, and there from the first step
on, it decides which block begins, or that none does. Any placement can be pushed down until each block lies at address 0 or on
another that is alive with it, and such a placement is one path of these decisions.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import accumulate
from typing import NamedTuple

from mnsim.errors import CapacityError

NODE_BLOCKS = 32  # a state of more blocks counts as several nodes, for looking at it takes longer


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes that must keep one address over the steps first..last, both included."""

    size_bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class _Group:
    """Blocks (`members` are their indices) of lifetimes that hang together, where a heuristic put them, and the bytes it takes."""

    members: tuple[int, ...]
    blocks: tuple[Block, ...]
    addresses: tuple[int, ...]
    height: int


class _Part(NamedTuple):
    """A state of the exact search: blocks that are still to be placed, whose lifetimes hang together.

    `floors` are the lowest addresses that are open at the steps from `start` on. Steps at which nothing may begin at the lowest of
    them have a floor above the capacity, until it is known what they rise to; they are all next to each other.
    """

    members: tuple[int, ...]
    start: int
    floors: tuple[int, ...]


class _Placed(NamedTuple):
    """A part's placement: one block (-1: none), and the placements of the parts that were left."""

    member: int
    address: int
    others: tuple["_Placed", ...]


def place_blocks(blocks: Sequence[Block], capacity: int, steps: Sequence[str], node_limit: int = 20_000) -> tuple[int, ...]:
    """An address (bytes from 0) for every block, all below `capacity` and no two that are alive at one step overlapping.

    `steps` are the names of the layers at the steps 0, 1, ..., and `node_limit` is how many states the exact search looks at (one
    of many blocks counts as several). It places whatever can be placed before the limit ends it; up to 8 blocks took it 124 at most.

    Raises CapacityError when the blocks are not placed. Its `needed_bytes` are an amount of memory with which they are. Its
    `layer` is the step of the largest load, among the steps of the blocks that found no place when every step's load fits.
    """
    loads = _loads(blocks, len(steps))
    peak = max(loads, default=0)
    goal = max(capacity, peak)
    order = sorted((index for index, block in enumerate(blocks) if block.size_bytes), key=lambda index: blocks[index].first)
    groups = sorted((_arrange(blocks, members, goal) for members in _apart(blocks, order)), key=lambda group: group.height)
    addresses = [0] * len(blocks)
    needed = capacity if peak <= capacity else groups[-1].height  # where the load is too large, no search helps
    lives = range(len(steps))
    for group in groups:  # the lowest first: what one of them needs, all higher ones may use
        places: tuple[int, ...] | None = group.addresses
        if group.height > needed:
            places, nodes = _search(group.blocks, needed, node_limit)
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


def _apart(blocks: Sequence[Block], members: Iterable[int]) -> Iterator[list[int]]:
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


def _squeeze(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The same blocks over the steps that matter: what is alive at one that is left out is all alive at a later one too."""
    births = sorted({block.first for block in blocks})
    deaths = sorted({block.last for block in blocks})
    ends = [*births[1:], deaths[-1] + 1]
    kept = [birth for birth, end in zip(births, ends, strict=True) if bisect_left(deaths, end) > bisect_left(deaths, birth)]
    return tuple(Block(block.size_bytes, bisect_left(kept, block.first), bisect_right(kept, block.last) - 1) for block in blocks)


def _arrange(blocks: Sequence[Block], members: Sequence[int], goal: int) -> _Group:
    """A group, as low as the heuristics put it; the first that keeps below the goal will do."""
    squeezed = _squeeze([blocks[member] for member in members])
    tried: list[tuple[int, list[int]]] = []
    for heuristic in _HEURISTICS:
        addresses = heuristic(squeezed)
        tried.append((max(address + block.size_bytes for address, block in zip(addresses, squeezed, strict=True)), addresses))
        if tried[-1][0] <= goal:
            break
    height, addresses = min(tried, key=lambda attempt: attempt[0])
    return _Group(tuple(members), squeezed, tuple(addresses), height)


def _fit(blocks: Sequence[Block], tightest: bool) -> list[int]:
    """The largest block first, into the lowest gap that holds it or the tightest one, on top of all where there is none."""
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
    """Add an interval to those of a step, as one with its neighbours where it touches them, so that they stay few."""
    after = before = bisect_left(step, (start, end))
    if after < len(step) and step[after][0] == end:
        end = step[after][1]
        after += 1
    if before and step[before - 1][1] == start:
        before -= 1
        start = step[before][0]
    step[before:after] = [(start, end)]


def _lay(blocks: Sequence[Block], by_area: bool) -> list[int]:
    """A skyline: the block that can lie lowest comes next; of several the one of the largest area, or alive for the most steps."""
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
    """Addresses if the exact search finds them, and the nodes that it took.

    It gets half of its nodes with the steps as they are, and half with them reversed: what is hard one way is often easy the other.
    """
    last = max(block.last for block in blocks)
    reverse = [Block(block.size_bytes, last - block.last, last - block.first) for block in blocks]
    nodes = 0
    for turned, limit in ((blocks, node_limit - node_limit // 2), (reverse, node_limit // 2)):
        search = _Search(turned, capacity)
        placed = search.run(limit)
        nodes += search.nodes
        if placed is not None or not search.stopped:
            return placed, nodes
    return None, nodes


class _Search:
    """The exact search for one group of blocks: depth first, every state looked at once, parts that do not touch one by one."""

    def __init__(self, blocks: Sequence[Block], capacity: int) -> None:
        self.nodes = 0
        self.stopped = False
        self._blocks = blocks
        self._sizes = [block.size_bytes for block in blocks]
        self._firsts = [block.first for block in blocks]
        self._lasts = [block.last for block in blocks]
        self._capacity = capacity
        self._passed = capacity + 1
        self._known: dict[_Part, _Placed | None] = {}

    def run(self, limit: int) -> tuple[int, ...] | None:
        """Addresses for all blocks; None when there are none, or when the limit ends the search (`stopped`)."""
        order = sorted(range(len(self._blocks)), key=lambda index: (self._firsts[index], -self._lasts[index], -self._sizes[index]))
        placed = self._drive(_Part(tuple(order), 0, (0,) * (max(self._lasts) + 1)), limit)
        if placed is None:
            return None
        addresses = [0] * len(order)
        pending = [placed]
        while pending:
            member, address, others = pending.pop()
            if member >= 0:
                addresses[member] = address
            pending.extend(others)
        return tuple(addresses)

    def _drive(self, part: _Part, limit: int) -> _Placed | None:
        """Run the solvers of parts that wait for one another on a stack of its own: Python's would not hold thousands."""
        stack: list[tuple[_Part, Generator[_Part, _Placed | None, _Placed | None]]] = []
        answer: _Placed | None = None
        wanted: _Part | None = part
        while wanted or stack:
            if wanted and wanted in self._known:
                answer = self._known[wanted]
            elif wanted:
                self.nodes += 1 + len(wanted.members) // NODE_BLOCKS
                if self.nodes > limit:
                    self.stopped = True
                    return None
                stack.append((wanted, self._solve(wanted)))
                answer = None
            try:
                wanted = stack[-1][1].send(answer)
            except StopIteration as end:
                answer, wanted = end.value, None
                self._known[stack.pop()[0]] = answer
        return answer

    def _solve(self, part: _Part) -> Generator[_Part, _Placed | None, _Placed | None]:
        """Ask for the parts that each decision leaves, the smallest first, until all of one decision's can be placed."""
        for member, address, parts in self._decide(part):
            others = []
            for smaller in sorted(parts, key=lambda smaller: len(smaller.members)):
                answer = yield smaller
                if answer is None:
                    break
                others.append(answer)
            else:
                return _Placed(member, address, tuple(others))
        return None

    def _decide(self, part: _Part) -> Iterator[tuple[int, int, list[_Part]]]:
        """What may begin at the lowest open address and there at the first step, and the parts that are left; -1 is nothing."""
        while True:
            level, place, chosen = self._candidates(part)
            for member in chosen:
                parts = self._place(part, member, level, place)
                if parts is not None:
                    yield member, level, parts
            passed = self._pass(part, level, place)
            if passed is None:
                return
            if chosen:
                yield -1, 0, [passed]
                return
            part = passed

    def _candidates(self, part: _Part) -> tuple[int, int, list[int]]:
        """The lowest open address, the first place among the floors that has it, and the blocks that can begin there.

        A block that began there and was alive earlier would lie on a higher floor. Of equal blocks one will do.
        """
        members, start, floors = part
        level = min(floors)
        place = end = floors.index(level)
        while end < len(floors) and floors[end] == level:
            end += 1
        chosen: list[int] = []
        kinds = set()
        for member in members[bisect_left(members, start + place, key=self._firsts.__getitem__) :]:
            if self._firsts[member] != start + place:
                break
            kind = self._sizes[member], self._lasts[member]
            if kind[1] < start + end and kind not in kinds:
                kinds.add(kind)
                chosen.append(member)
        return level, place, chosen

    def _place(self, part: _Part, member: int, level: int, place: int) -> list[_Part] | None:
        """The parts that are left when the block lies at the level; None when one of them cannot be placed."""
        members, start, floors = part
        last = self._lasts[member]
        end = last + 1 - start
        floors = floors[:place] + (level + self._sizes[member],) * (end - place) + floors[end:]
        risen = start + place - floors.count(self._passed), last
        parts = []
        for together in _apart(self._blocks, (other for other in members if other != member)):
            first = self._firsts[together[0]]
            reach = max(self._lasts[other] for other in together)
            settled = self._settle(floors[first - start : reach + 1 - start], level)
            if settled is None or self._is_hopeless(smaller := _Part(tuple(together), first, settled), level, risen):
                return None
            parts.append(smaller)
        return parts

    def _pass(self, part: _Part, level: int, place: int) -> _Part | None:
        """The part when nothing begins at the level at this step; None when it cannot be placed."""
        members, start, floors = part
        risen = start + place - floors.count(self._passed), start + place
        settled = self._settle((*floors[:place], self._passed, *floors[place + 1 :]), level)
        if settled is None or self._is_hopeless(passed := _Part(members, start, settled), level, risen):
            return None
        return passed

    def _settle(self, floors: tuple[int, ...], level: int) -> tuple[int, ...] | None:
        """The floors, passed steps raised to the lower of their neighbours when neither is at the level any more.

        The lowest block there lies on one that is not alive there, and so reaches to a neighbour; None when there is none.
        """
        count = floors.count(self._passed)
        if not count:
            return floors
        begin = floors.index(self._passed)
        end = begin + count
        right = floors[end] if end < len(floors) else self._passed
        if right == level:
            return floors
        risen = min(right, floors[begin - 1] if begin else self._passed)
        return None if risen == self._passed else floors[:begin] + (risen,) * count + floors[end:]

    def _is_hopeless(self, part: _Part, level: int, risen: tuple[int, int]) -> bool:
        """Whether at some step that the risen floors reach, blocks stacked in the order of their floors exceed the capacity."""
        members, start, floors = part
        firsts, lasts, sizes = self._firsts, self._lasts, self._sizes
        if self._passed in floors:
            floors = tuple(level + 1 if floor == self._passed else floor for floor in floors)
        low, high = risen
        near = []
        for member in members:
            first, last = firsts[member], lasts[member]
            if first <= high and last >= low:
                reached = max(floors[max(first, low) - start : min(last, high) + 1 - start])
                if reached == max(floors[first - start : last + 1 - start]):
                    near.append(member)
        begin, end = min((firsts[member] for member in near), default=0), max((lasts[member] for member in near), default=-1) + 1
        queues: list[list[tuple[int, int]]] = [[] for _ in range(begin, end)]
        for member in members:
            first, last = firsts[member], lasts[member]
            if first < end and last >= begin:
                entry = max(floors[first - start : last + 1 - start]), sizes[member]
                for queue in queues[max(first - begin, 0) : last + 1 - begin]:
                    queue.append(entry)
        for queue in queues:
            queue.sort()
            top = 0
            for floor, size in queue:
                top = max(top, floor) + size
            if top > self._capacity:
                return True
        return False
