"""What is still to come: the fewest bytes that any way on from a boundary must move.

Why it is a bound. An operator that writes an external storage stores its result, unless another overwrites
that in place. A segment that reads there what an earlier one wrote loads it, once at least, and no segment
goes on behind the longest one that may be fused. Resident storages that are alive at one operator fit the
SRAM together: others that are alive there are external, or passed inside of a segment.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from mnsim.graph.model import Graph, Operator, Storage
from mnsim.plan.options import Option
from mnsim.plan.passes import moves

MOST_CROWDS = 3  # operators at which much is alive that are looked at from a boundary


class _Touch(NamedTuple):
    """An operator that touches a storage: bytes of the largest map that it reads, and whether it writes."""

    step: int
    read_bytes: int
    writes: bool


class _Crowd(NamedTuple):
    """An operator at which more is alive than fits, seen from a boundary before it.

    `known` are the storages alive at both, by their bit, and their sizes. `over_bytes` is by how much those
    that are born in between, and can be no segment's own, exceed the SRAM if all are resident. `sizes` and
    `costs` are theirs, summed up, of the cheapest to spill first.
    """

    known: tuple[tuple[int, int], ...]
    over_bytes: int
    sizes: tuple[int, ...]
    costs: tuple[int, ...]


class _View(NamedTuple):
    """What is ahead of a boundary: the storages alive there, by their bit, with the bytes that are loaded if
    they are external, and the crowds.
    """

    loads: tuple[tuple[int, int], ...]
    crowds: tuple[_Crowd, ...]


@dataclass(slots=True)
class Ahead:
    """What bounds are made of: by boundary the bytes that move behind it in any case, by storage those more
    that it costs to be external.
    """

    graph: Graph
    capacity: int
    certain: list[int]
    spill_bytes: list[int]
    touches: list[list[_Touch]]
    reach: list[int]  # by operator, the last one that may be in a segment with it
    passed: frozenset[int]  # storages that some segment may have inside
    views: dict[int, _View] = field(default_factory=dict)


def make_ahead(graph: Graph, capacity: int, options: Sequence[Sequence[Option]]) -> Ahead:
    """What is ahead in a graph, for the fused segments that the search may choose."""
    count = len(graph.operators)
    reach = list(range(count))
    for option in (each for same in options for each in same):
        for step in range(option.first, option.last + 1):
            reach[step] = max(reach[step], option.last)
    touches: list[list[_Touch]] = [[] for _ in graph.storages]
    for operator in graph.operators:
        for index in sorted({graph.slots[number].storage for number in (*operator.inputs, operator.output)}):
            writes = graph.slots[operator.output].storage == index
            touches[index].append(_Touch(operator.index, _read_bytes(graph, operator, index), writes))
    outside = [_stored(graph, index) + _first_loads(touches[index], reach) for index in range(len(graph.storages))]
    ends = [_end_bytes(graph, index) for index in range(len(graph.storages))]
    certain = [0] * (count + 1)
    for storage, both in zip(graph.storages, zip(ends, outside, strict=True), strict=True):
        certain[storage.first] += min(both)
    for operator in reversed(graph.operators):
        certain[operator.index] += operator.weight_bytes + certain[operator.index + 1]
    spill = [max(0, there - here) for here, there in zip(ends, outside, strict=True)]
    passed = frozenset(index for same in options for option in same for index in option.inner)
    return Ahead(graph, capacity, certain, spill, touches, reach, passed)


def _read_bytes(graph: Graph, operator: Operator, storage: int) -> int:
    read = operator.copied if operator.copied else operator.inputs
    return max((graph.maps[index].size_bytes for index in read if graph.slots[index].storage == storage and moves(operator)), default=0)


def _stored(graph: Graph, storage: int) -> int:
    """Bytes that are stored at least while a storage is external."""
    least: dict[tuple[int, ...], int] = {}
    for operator in graph.operators:
        slot = graph.slots[operator.output]
        if slot.storage == storage and moves(operator):
            size = sum(graph.maps[index].size_bytes for index in operator.copied) or graph.maps[operator.output].size_bytes
            key = (slot.offset_bytes, operator.index) if operator.copied else (slot.offset_bytes,)
            least[key] = min(size, least.get(key, size))
    return sum(least.values())


def _first_loads(touches: Sequence[_Touch], reach: Sequence[int]) -> int:
    """Bytes that are loaded at least from a storage over all of its life."""
    there, readers = -1, []
    for touch in touches:
        if touch.read_bytes and touch.step > there:
            readers.append(touch)
        if touch.writes:
            there = max(there, reach[touch.step])
    return _load_bytes(readers, reach)


def _load_bytes(readers: Sequence[_Touch], reach: Sequence[int]) -> int:
    """Bytes that readers load at least, when those share a load that may be in one segment."""
    loads, until = 0, -1
    for reader in readers:
        if reader.step > until:
            loads, until = loads + 1, reach[reader.step]
    return loads * min((reader.read_bytes for reader in readers), default=0)


def _end_bytes(graph: Graph, storage: int) -> int:
    """Bytes that cross whole while a storage is resident: the network's input or an output there."""
    return max((graph.maps[index].size_bytes for index in (0, *graph.outputs) if graph.slots[index].storage == storage), default=0)


def least_ahead(ahead: Ahead, boundary: int, external: int) -> int | None:
    """The fewest bytes from a boundary to the end, beside those that are certain; None where nothing fits.

    `external` are the storages in external memory that are alive there, as bits.
    """
    if boundary not in ahead.views:
        ahead.views[boundary] = _view(ahead, boundary)
    view = ahead.views[boundary]
    loads = sum(size for bit, size in view.loads if external & bit)
    return None if (spilled := _spilled(view.crowds, external)) is None else loads + spilled


def _spilled(crowds: Sequence[_Crowd], external: int) -> int | None:
    """Bytes that move at least because what is yet to be born does not fit beside what is resident."""
    most = 0
    for crowd in crowds:
        over = crowd.over_bytes
        for bit, size in crowd.known:
            if not external & bit:
                over += size
        if over > 0:
            place = bisect_left(crowd.sizes, over)
            if place == len(crowd.sizes):
                return None
            before = crowd.sizes[place - 1], crowd.costs[place - 1]
            part = (crowd.costs[place] - before[1]) * (over - before[0]) // (crowd.sizes[place] - before[0])
            most = max(most, before[1] + part)
    return most


def _view(ahead: Ahead, boundary: int) -> _View:
    storages = ahead.graph.storages
    loads = []
    for storage in storages:
        if storage.first < boundary <= storage.last:
            readers = []
            for touch in ahead.touches[storage.index]:
                if touch.step >= boundary:
                    readers += [touch] if touch.read_bytes else []
                    if touch.writes:
                        break
            loads.append((1 << storage.index, _load_bytes(readers, ahead.reach)))
    crowds = {}
    for step in range(boundary, len(ahead.graph.operators)):
        alive = [each for each in storages if each.first <= step <= each.last]
        total = sum(each.size_bytes for each in alive if each.first < boundary or each.index not in ahead.passed)
        if total > ahead.capacity:
            crowds[step] = total, alive
    crowded = sorted(crowds, key=lambda step: (-crowds[step][0], step))[:MOST_CROWDS]
    return _View(tuple(loads), tuple(_crowd(ahead, boundary, crowds[step][1]) for step in crowded))


def _crowd(ahead: Ahead, boundary: int, alive: Sequence[Storage]) -> _Crowd:
    born = [each for each in alive if each.first >= boundary and each.index not in ahead.passed]
    born.sort(key=lambda each: (ahead.spill_bytes[each.index] / each.size_bytes, each.index))
    sizes = accumulate((each.size_bytes for each in born), initial=0)
    costs = accumulate((ahead.spill_bytes[each.index] for each in born), initial=0)
    known = tuple((1 << each.index, each.size_bytes) for each in alive if each.first < boundary)
    return _Crowd(known, sum(each.size_bytes for each in born) - ahead.capacity, tuple(sizes), tuple(costs))
