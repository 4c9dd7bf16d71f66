"""The search for the segments and homes that move the fewest bytes.

Dynamic programming over the boundaries between segments: a state says which of the storages that are alive
there are external. What a segment costs depends on where the maps that it touches are and on the room that
the resident ones leave, so the best way to a state is the best way to one before it, and one segment.

Where there are too many states, those are kept that can end with the fewest bytes: what they moved, and a
lower bound of what is ahead. The same bound says what the others could have led to.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple

from mnsim.graph.model import Graph, Operator
from mnsim.plan.ahead import Ahead, least_ahead, make_ahead
from mnsim.plan.fusing import options_of
from mnsim.plan.homes import Choice, make_choice, subsets, taken_before
from mnsim.plan.model import Geometry, Kind, Tiling
from mnsim.plan.options import Option, ends_in
from mnsim.plan.tiles import CHARGE, MANY, best_tiling, count_commands
from mnsim.plan.tiling import make_geometry, tile_traffic
from mnsim.spec.records import Policy

MOST_STATES = 512  # kept at a boundary: exact up to nine storages alive at once
FEWEST_STATES = 16  # kept in any case
MOST_WAYS = 16_384  # that are looked at from a boundary, but for those of the fewest states
MOST_CHOSEN = 6  # storages born in a segment whose homes are chosen freely

Cost = tuple[int, int]  # bytes moved; then bytes in SRAM, summed over the operators


class Picked(NamedTuple):
    """A segment of the plan: its operators first..last, how they run, and the storages that are passed."""

    first: int
    last: int
    kind: Kind
    inner: frozenset[int] = frozenset()


class Found(NamedTuple):
    """The cheapest segments, and the storages that are external.

    No choice goes below `least_bytes`; `dropped` counts the ways that were not followed to their end.
    """

    segments: tuple[Picked, ...]
    external: frozenset[int]
    moved_bytes: int
    least_bytes: int
    dropped: int


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
    alive: list[int] = field(default_factory=list)  # by boundary, the storages alive there, as bits
    choices: dict[int, list[Choice]] = field(default_factory=dict)
    known: list[Ahead] = field(default_factory=list)  # what is ahead, once it was asked for


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
    search.alive = [0] * (len(graph.operators) + 1)
    for storage in graph.storages:
        for boundary in range(storage.first + 1, storage.last + 1):
            search.alive[boundary] |= 1 << storage.index
    return search


def fresh(search: Search) -> Search:
    """The search as it was before its first run, with all that it knows of tilings."""
    return replace(search, room=[search.capacity] * len(search.graph.operators), bare=set(), narrow={})


def of_policy(search: Search, policy: Policy) -> Search:
    """A fresh search for a plan of another policy, without fusion."""
    return replace(fresh(search), policy=policy, options=[], pipelined={}, choices={}, known=[])


def of_size(search: Search, capacity: int) -> Search:
    """A fresh search for a plan in less SRAM."""
    return fresh(replace(search, capacity=capacity, pipelined={}, choices={}, known=[]))


@dataclass(slots=True)
class _Dropped:
    """The ways that were not followed: how many, and the fewest bytes that one of them could have led to."""

    count: int = 0
    least_bytes: float = inf

    def add(self, count: int, least_bytes: int) -> None:
        self.count, self.least_bytes = self.count + count, min(self.least_bytes, least_bytes)


def cheapest(search: Search) -> Found | int:
    """The cheapest segments; the first operator that none was found for, where there are none."""
    graph, dropped = search.graph, _Dropped()
    count = len(graph.operators)
    states: list[dict[int, _State]] = [{} for _ in range(count + 1)]
    states[0][0] = _State((0, 0), 0, None, 0)
    for first in range(count):
        if not states[first]:
            continue
        states[first] = _fewest(search, first, states[first], dropped)
        for mask, state in states[first].items():
            resident = sum(graph.storages[index].size_bytes for index in _bits(search.alive[first] & ~mask))
            for picked, added, external in _steps(search, first, mask, resident):
                total = (state.cost[0] + added[0], state.cost[1] + added[1])
                later, ahead = states[picked.last + 1], external & search.alive[picked.last + 1]
                if ahead not in later or total < later[ahead].cost:
                    later[ahead] = _State(total, mask, picked, external)
            _leave_out(search, first, mask, state, dropped)
    if not states[count]:
        return next(step for step in range(count) if not states[step + 1] and step >= _last_reached(states))
    return _back(states, dropped)


def _last_reached(states: Sequence[Mapping[int, _State]]) -> int:
    return max(step for step, found in enumerate(states) if found)


def _back(states: Sequence[Mapping[int, _State]], dropped: _Dropped) -> Found:
    state = min(states[-1].values(), key=lambda each: each.cost)
    moved, segments, external = state.cost[0], [], 0
    while state.segment is not None:
        segments.append(state.segment)
        external |= state.external
        state = states[state.segment.first][state.before]
    return Found(tuple(segments[::-1]), frozenset(_bits(external)), moved, int(min(moved, dropped.least_bytes)), dropped.count)


def _bits(mask: int) -> Iterator[int]:
    index = 0
    while mask:
        if mask & 1:
            yield index
        mask >>= 1
        index += 1


def _ahead(search: Search) -> Ahead:
    if not search.known:
        search.known.append(make_ahead(search.graph, search.capacity, search.options))
    return search.known[0]


def _fewest(search: Search, first: int, states: dict[int, _State], dropped: _Dropped) -> dict[int, _State]:
    """Of too many states those that can end with the fewest bytes, and always the one with most external: it
    never runs out of room.
    """
    ways = sum(len(choice.homes) for choice in _choices(search, first))
    most = min(MOST_STATES, max(FEWEST_STATES, MOST_WAYS // max(1, ways)))
    if len(states) <= most:
        return states
    ahead = _ahead(search)
    ranked = []
    for mask, state in states.items():
        least = least_ahead(ahead, first, mask)
        if least is not None:
            ranked.append((state.cost[0] + least, state.cost[1], mask))
    ranked.sort()
    safest = max((rank[2] for rank in ranked), key=int.bit_count, default=max(states, key=int.bit_count))
    kept = dict.fromkeys((*(rank[2] for rank in ranked[: most - 1]), safest))
    for moved, _, mask in ranked:
        if mask not in kept:
            dropped.add(1, moved + ahead.certain[first])
    return {mask: states[mask] for mask in kept}


def _choices(search: Search, first: int) -> list[Choice]:
    """The fused segments that can begin at an operator, with the homes of what is born in them."""
    if first not in search.choices:
        found = search.choices[first] = []
        for option in search.options[first] if search.options else []:
            born = [index for step in range(first, option.last + 1) for index in search.born[step] if index not in option.inner]
            spill_bytes = _ahead(search).spill_bytes if len(born) > MOST_CHOSEN else ()
            found.append(make_choice(search.graph, option, born, spill_bytes))
    return search.choices[first]


def _leave_out(search: Search, first: int, mask: int, state: _State, dropped: _Dropped) -> None:
    """Count the homes that are not looked at in the segments that can follow a state."""
    choices = [choice for choice in _choices(search, first) if choice.left_out]
    from_here = least_ahead(_ahead(search), first, mask) if choices else None
    for choice in choices:
        taken = taken_before(choice, mask)
        if taken and choice.left_out and from_here is not None:
            certain = _ahead(search).certain
            moved = taken.moved_bytes + choice.left_out.moved_bytes + certain[choice.option.last + 1]
            dropped.add(choice.left_out.ways, state.cost[0] + max(moved, from_here + certain[first]))


_Step = tuple[Picked, Cost, int]  # the segment, its cost, the storages external in it


def _steps(search: Search, first: int, mask: int, resident: int) -> Iterator[_Step]:
    """Every segment that can follow a state, with every choice of homes for what is born in it."""
    graph = search.graph
    operator = graph.operators[first]
    for out in subsets(search.born[first]):
        external = mask | out
        size = resident + sum(graph.storages[index].size_bytes for index in search.born[first] if not out >> index & 1)
        cost = _single_cost(search, operator, external, size)
        if cost is not None:
            yield Picked(first, first, "single"), cost, external
    for choice in _choices(search, first):
        option, taken = choice.option, taken_before(choice, mask)
        if taken is None:
            continue
        room = search.narrow.get((first, option.last, option.kind), search.capacity)
        picked = Picked(first, option.last, option.kind, option.inner)
        for homes in choice.homes:
            size = taken.size_bytes + homes.size_bytes + resident
            roomy = taken.pipelined_bytes + homes.pipelined_bytes + resident
            if size <= room and (roomy <= room or search.slow):
                used = (roomy if roomy <= room else search.slow * size) * (option.last - first + 1) + search.each
                yield picked, (taken.moved_bytes + homes.moved_bytes, used), mask | homes.external


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
