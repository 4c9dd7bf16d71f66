"""The search for the segments and homes that move the fewest bytes.

Dynamic programming over the boundaries between segments: a state says which of the storages that are alive
there are external. What a segment costs depends on where the maps that it touches are and on the room that
the resident ones leave, so the best way to a state is the best way to one before it, and one segment.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mnsim.graph.model import Graph, Operator
from mnsim.plan.fusing import options_of
from mnsim.plan.model import Geometry, Kind, Tiling
from mnsim.plan.options import Option, ends_in
from mnsim.plan.tiles import CHARGE, MANY, best_tiling, count_commands
from mnsim.plan.tiling import make_geometry, tile_traffic
from mnsim.spec.records import Policy

MOST_STATES = 512  # kept at a boundary: exact up to nine storages alive at once

Cost = tuple[int, int]  # bytes moved; then bytes in SRAM, summed over the operators


class Picked(NamedTuple):
    """A segment of the plan: its operators first..last, how they run, and the storages that are passed."""

    first: int
    last: int
    kind: Kind
    inner: frozenset[int] = frozenset()


class Found(NamedTuple):
    """The cheapest segments, and the storages that are external."""

    segments: tuple[Picked, ...]
    external: frozenset[int]
    moved_bytes: int


@dataclass(slots=True)
class Search:
    """What the search works on. `room` is what each operator may use of the SRAM; `bare` are operators
    that no map may lie beside, `narrow` fused segments that may use less than all of it.

    Found tilings are kept: like layers are cut alike, and looked at once.
    """

    graph: Graph
    policy: Policy
    capacity: int
    room: list[int]
    fused: tuple[str, ...] = ()
    each: int = 0
    charge: int = CHARGE
    slow: int = 3
    bare: set[int] = field(default_factory=set)
    narrow: dict[tuple[int, int, Kind], int] = field(default_factory=dict)
    tilings: dict[tuple[Geometry, int], tuple[Tiling, int] | None] = field(default_factory=dict)
    pipelined: dict[tuple[Geometry, Tiling], Tiling] = field(default_factory=dict)
    options: list[list[Option]] = field(default_factory=list)
    born: list[list[int]] = field(default_factory=list)


class _State(NamedTuple):
    """The cheapest way to the storages that are external now: its cost, the state before, and the segment
    between, with the storages that were external in it.
    """

    cost: Cost
    before: int
    segment: Picked | None
    external: int


def make_search(graph: Graph, policy: Policy, capacity: int, fused: tuple[str, ...] = ()) -> Search:
    """A search before its first run."""
    search = Search(graph, policy, capacity, [capacity] * len(graph.operators), fused)
    if policy == "overlap":
        search.options = options_of(graph, capacity, fused)
    search.born = [[] for _ in graph.operators]
    for storage in graph.storages:
        search.born[storage.first].append(storage.index)
    return search


def fresh(search: Search) -> Search:
    """The search as it was before its first run, with all that it knows of tilings."""
    return replace(search, room=[search.capacity] * len(search.graph.operators), bare=set(), narrow={})


def cheapest(search: Search) -> Found | int:
    """The cheapest segments; the first operator that none was found for, where there are none."""
    graph = search.graph
    count = len(graph.operators)
    states: list[dict[int, _State]] = [{} for _ in range(count + 1)]
    states[0][0] = _State((0, 0), 0, None, 0)
    furthest = 0
    for first in range(count):
        if not states[first]:
            continue
        states[first] = _fewest(states[first])
        known = [storage for storage in graph.storages if storage.first < first <= storage.last]
        options = search.options[first] if search.options else []
        for mask, state in states[first].items():
            resident = sum(storage.size_bytes for storage in known if not mask >> storage.index & 1)
            for ahead, picked, added, external in _steps(search, first, options, mask, resident):
                total = (state.cost[0] + added[0], state.cost[1] + added[1])
                later = states[picked.last + 1]
                if ahead not in later or total < later[ahead].cost:
                    later[ahead] = _State(total, mask, picked, external)
                    furthest = max(furthest, picked.last + 1)
    if not states[count]:
        return next(step for step in range(count) if not states[step + 1] and step >= _last_reached(states))
    return _back(states)


def _last_reached(states: Sequence[Mapping[int, _State]]) -> int:
    return max(step for step, found in enumerate(states) if found)


def _back(states: Sequence[Mapping[int, _State]]) -> Found:
    mask, state = min(states[-1].items(), key=lambda item: item[1].cost)
    moved, segments, external = state.cost[0], [], 0
    while state.segment is not None:
        segments.append(state.segment)
        external |= state.external
        state = states[state.segment.first][state.before]
    del mask
    return Found(tuple(segments[::-1]), frozenset(_bits(external)), moved)


def _bits(mask: int) -> Iterator[int]:
    index = 0
    while mask:
        if mask & 1:
            yield index
        mask >>= 1
        index += 1


def _fewest(states: dict[int, _State]) -> dict[int, _State]:
    """The cheapest states when there are too many, and always the one with most external: it never runs
    out of room.
    """
    if len(states) <= MOST_STATES:
        return states
    ordered = sorted(states, key=lambda mask: (states[mask].cost, sorted(_bits(mask))))
    safest = max(ordered, key=int.bit_count)
    return {mask: states[mask] for mask in (*ordered[: MOST_STATES - 1], safest)}


_Step = tuple[int, Picked, Cost, int]  # the state behind it, the segment, its cost, the storages external in it


def _steps(search: Search, first: int, options: Sequence[Option], mask: int, resident: int) -> Iterator[_Step]:
    """Every segment that can follow a state, with every choice of homes for what is born in it."""
    graph = search.graph
    operator = graph.operators[first]
    for out in _subsets(search.born[first]):
        external = mask | out
        size = resident + sum(graph.storages[index].size_bytes for index in search.born[first] if not out >> index & 1)
        cost = _single_cost(search, operator, external, size)
        if cost is not None:
            yield _after(graph, external, first), Picked(first, first, "single"), cost, external
    for option in options:
        born = [index for step in range(first, option.last + 1) for index in search.born[step] if index not in option.inner]
        room = search.narrow.get((first, option.last, option.kind), search.capacity)
        for out in _subsets(born):
            external = mask | out
            size = resident + sum(graph.storages[index].size_bytes for index in born if not out >> index & 1)
            cost = _fused_cost(search, option, external, size, room)
            if cost is not None:
                yield _after(graph, external, option.last), Picked(first, option.last, option.kind, option.inner), cost, external


def _subsets(indices: Sequence[int]) -> Iterator[int]:
    """Every choice among storages, as bits."""
    for number in range(1 << len(indices)):
        yield sum(1 << index for place, index in enumerate(indices) if number >> place & 1)


def _after(graph: Graph, external: int, last: int) -> int:
    """The external storages that live on behind an operator."""
    return sum(1 << index for index in _bits(external) if graph.storages[index].last > last)


def _fused_cost(search: Search, option: Option, external: int, resident: int, room: int) -> Cost | None:
    """What a fused segment adds to the cost, None where it does not fit or may not be."""
    size, roomy, moved = option.working_bytes + resident, option.pipelined_bytes + resident, option.moved_bytes
    for index, outside in option.outside.items():
        if external >> index & 1:
            if not outside.may_be_external:
                return None
            size += outside.ring_bytes
            roomy += outside.pipelined_bytes
            moved += outside.external_bytes
        else:
            moved += outside.resident_bytes
    if size > room:
        return None
    if roomy > room and not search.slow:
        return None
    taken = roomy if roomy <= room else search.slow * size
    return moved, taken * (option.last - option.first + 1) + search.each


def _single_cost(search: Search, operator: Operator, external: int, resident: int) -> Cost | None:
    """What an operator by itself adds to the cost, None where nothing fits."""
    graph, step = search.graph, operator.index
    if resident and step in search.bare:
        return None
    outside = {index for index in {graph.slots[number].storage for number in (*operator.inputs, operator.output)} if external >> index & 1}
    geometry = make_geometry(graph, operator, outside)
    found = tiling_in(search, geometry, search.room[step] - resident)
    if found is None:
        return None
    storages = {graph.slots[number].storage for number in (0, *operator.inputs, operator.output)} - outside
    whole = sum(graph.maps[index].size_bytes for storage in storages for index in ends_in(graph, (operator,), storage))
    return found[1] + whole, -resident if search.policy == "serial" else resident + search.each


def _cost_of(geometry: Geometry, tiling: Tiling, charge: int) -> int:
    """The bytes that a tiling moves, and those that its commands beyond a good many count as."""
    traffic = tile_traffic(geometry, tiling)
    return traffic.total_bytes + charge * max(0, count_commands(geometry, tiling, traffic) - MANY)


def tiling_in(search: Search, geometry: Geometry, room: int) -> tuple[Tiling, int] | None:
    """The best tiling in so much room and the bytes that it moves."""
    key = (geometry, room)
    if key not in search.tilings:
        tiling = best_tiling(geometry, room, search.charge) if room >= 0 else None
        search.tilings[key] = (tiling, _cost_of(geometry, tiling, search.charge)) if tiling else None
    return search.tilings[key]
