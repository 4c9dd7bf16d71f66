"""The search for a plan: which maps stay in SRAM, and the tiles that move the fewest bytes.

Dynamic programming over the operators: a state says which of the storages that are alive are external. An
operator's traffic depends on where its own maps are and on the room that the resident ones leave, so the
best way to a state is the best way to one before it, and one step. Addresses come afterwards; where they
cannot be found, the crowded operator gets less room, and its tiles or its neighbours' homes change.
"""

from collections.abc import Container, Iterator
from itertools import product
from typing import NamedTuple

from mnsim.errors import CapacityError
from mnsim.graph.model import Graph, Operator, Storage
from mnsim.graph.storage import class_root, value_classes
from mnsim.plan.least import needed_bytes, streamed_bytes
from mnsim.plan.model import Buffer, Cut, Geometry, Home, Plan, Segment, Tiling
from mnsim.plan.packing import Block, place_blocks
from mnsim.plan.prefetch import place_ahead
from mnsim.plan.tiles import best_tiling, pipelined_tiling, working_size
from mnsim.plan.tiling import crossing_whole, make_geometry, tile_traffic, working_bytes
from mnsim.spec.records import Hardware, Policy

INTERNAL, EXTERNAL = "internal memory", "external memory"
MOST_STATES = 512  # kept after an operator: exact up to nine storages alive at once
NODE_LIMIT = 2_000  # of the exact placement: a layer with less room is planned faster than a hard one is placed
STEPS_DOWN = 64  # by what part of the SRAM an operator's room shrinks when no addresses are found

External = frozenset[int]
Cost = tuple[int, int]  # bytes moved; then bytes in SRAM, summed over the operators


class _Search(NamedTuple):
    """What the search works on: for every operator the storages alive and the room that it may use;
    tilings found so far.

    `pipelined` are those that `overlap` takes instead of others: like layers are cut alike, and looked at
    once.
    """

    graph: Graph
    policy: Policy
    capacity: int
    alive: tuple[tuple[Storage, ...], ...]
    room: list[int]
    bare: set[int]  # operators that no map may lie beside
    tilings: dict[tuple[Geometry, int], tuple[Tiling, int] | None]
    pipelined: dict[tuple[Geometry, Tiling], Tiling]


class _State(NamedTuple):
    """The cheapest way to the storages that are external now: its cost, and all storages that are external
    on it.
    """

    cost: Cost
    external: External


def make_plan(graph: Graph, hardware: Hardware, policy: Policy = "overlap") -> Plan:
    """The plan that moves the fewest bytes; of equals, `serial` keeps maps in SRAM, `overlap` leaves SRAM
    free for prefetch.

    It depends on the graph, the SRAM's capacity and what the matrix unit fuses, never on rates. Raises
    CapacityError when not even the smallest tile of a layer fits, or the network's bytes do not fit
    external memory. Its remedy are amounts of memory for which a plan was found.
    """
    try:
        return find_plan(graph, hardware, policy)
    except CapacityError as error:
        from mnsim.plan.advice import advised  # composes an error, and plans for it

        raise advised(error, graph, hardware, policy) from None


def find_plan(graph: Graph, hardware: Hardware, policy: Policy) -> Plan:
    """The same plan. Its CapacityError says what is missing at once, for nobody has looked for a remedy."""
    capacity = hardware.sram_capacity_bytes
    search = _Search(graph, policy, capacity, _alive(graph), [capacity] * len(graph.operators), set(), {}, {})
    while True:
        external = _cheapest_homes(search)
        cuts = tuple(_cut(search, operator, external) for operator in graph.operators)
        try:
            addresses = _place(search, external, cuts)
            break
        except CapacityError as error:
            _shrink(search, error.layer, external, cuts)
    resident = {storage.index: address for storage, address in zip(_resident(graph, external), addresses, strict=False)}
    homes = tuple(_home(graph, resident, index) for index in range(len(graph.maps)))
    needed = external_bytes(graph, external)
    if hardware.external_capacity_bytes is not None and needed > hardware.external_capacity_bytes:
        raise CapacityError(EXTERNAL, needed, hardware.external_capacity_bytes)
    segments = _segments(search, resident, cuts, addresses[len(resident) :])
    return Plan(policy, capacity, hardware.fused, segments, homes)


def _alive(graph: Graph) -> tuple[tuple[Storage, ...], ...]:
    """For every operator the storages that are in use while it runs."""
    alive: list[list[Storage]] = [[] for _ in graph.operators]
    for storage in graph.storages:
        for step in range(storage.first, storage.last + 1):
            alive[step].append(storage)
    return tuple(map(tuple, alive))


def _cheapest_homes(search: _Search) -> External:
    """The storages that are external in the cheapest plan. Raises CapacityError for the first layer that
    cannot be planned.
    """
    states = {frozenset[int](): _State((0, 0), frozenset())}
    for operator in search.graph.operators:
        step = operator.index
        ahead: dict[External, _State] = {}
        for known, state in states.items():
            for born in _choices(search, step):
                now = known | born
                cost = _step_cost(search, operator, now)
                if cost is None:
                    continue
                total = (state.cost[0] + cost[0], state.cost[1] + cost[1])
                later = frozenset(storage.index for storage in search.alive[step] if storage.index in now and storage.last > step)
                if later not in ahead or total < ahead[later].cost:
                    ahead[later] = _State(total, state.external | born)
        if not ahead:
            raise _too_small(search, operator)
        states = _fewest(ahead)
    return min(states.values(), key=lambda state: state.cost).external


def _too_small(search: _Search, operator: Operator) -> CapacityError:
    """The error at an operator that no plan was found for."""
    alone = needed_bytes(search.graph, operator)
    if alone > search.capacity:
        return CapacityError(INTERNAL, alone, search.capacity, operator.name)
    enough = max(streamed_bytes(search.graph, each) for each in search.graph.operators)
    return CapacityError(INTERNAL, enough, search.capacity, operator.name, beside=True)


def _choices(search: _Search, step: int) -> Iterator[External]:
    """Every way to have the storages that begin at a step external or not."""
    born = [storage.index for storage in search.alive[step] if storage.first == step]
    for chosen in product((False, True), repeat=len(born)):
        yield frozenset(index for index, out in zip(born, chosen, strict=True) if out)


def _fewest(states: dict[External, _State]) -> dict[External, _State]:
    """The cheapest states when there are too many, and always the one with most external: it never runs
    out of room.
    """
    if len(states) <= MOST_STATES:
        return states
    ordered = sorted(states, key=lambda known: (states[known].cost, sorted(known)))
    safest = max(ordered, key=len)
    return {known: states[known] for known in (*ordered[: MOST_STATES - 1], safest)}


def _step_cost(search: _Search, operator: Operator, external: External) -> Cost | None:
    """What an operator adds to the cost, None where nothing fits."""
    graph, step = search.graph, operator.index
    resident = sum(storage.size_bytes for storage in search.alive[step] if storage.index not in external)
    geometry = make_geometry(graph, operator, external)
    found = _tiling(search, geometry, search.room[step] - resident)
    if found is None or (resident and step in search.bare):
        return None
    moved = found[1] + sum(graph.maps[index].size_bytes for ends in crossing_whole(graph, operator, external) for index in ends)
    return moved, resident if search.policy == "overlap" else -resident


def _tiling(search: _Search, geometry: Geometry, room: int) -> tuple[Tiling, int] | None:
    """The best tiling in so much room and the bytes that it moves."""
    key = (geometry, room)
    if key not in search.tilings:
        tiling = best_tiling(geometry, room) if room >= 0 else None
        search.tilings[key] = (tiling, tile_traffic(geometry, tiling).total_bytes) if tiling else None
    return search.tilings[key]


def _cut(search: _Search, operator: Operator, external: External) -> Cut:
    geometry = make_geometry(search.graph, operator, external)
    resident = sum(storage.size_bytes for storage in search.alive[operator.index] if storage.index not in external)
    found = _tiling(search, geometry, search.room[operator.index] - resident)
    assert found is not None  # the homes were chosen by asking for it
    crossing = crossing_whole(search.graph, operator, external)
    if search.policy == "serial":
        return Cut(operator.index, geometry, found[0], *crossing)
    key = (geometry, found[0])
    if key not in search.pipelined:
        search.pipelined[key] = pipelined_tiling(geometry, found[0], search.capacity)
    return Cut(operator.index, geometry, search.pipelined[key], *crossing)


def _resident(graph: Graph, external: External) -> list[Storage]:
    return [storage for storage in graph.storages if storage.index not in external]


def _place(search: _Search, external: External, cuts: tuple[Cut, ...]) -> tuple[int, ...]:
    """Addresses of all resident storages, then of every operator's buffers. Raises CapacityError."""
    blocks = [Block(storage.size_bytes, storage.first, storage.last) for storage in _resident(search.graph, external)]
    for step, cut in enumerate(cuts):
        blocks += [Block(size, step, step) for _, size in working_bytes(cut.geometry, cut.tiling)]
    return place_blocks(blocks, search.capacity, [operator.name for operator in search.graph.operators], NODE_LIMIT)


def _shrink(search: _Search, layer: str, external: External, cuts: tuple[Cut, ...]) -> None:
    """Give the layer at which no address was found less room than it used. Raises CapacityError where it
    has the least already.
    """
    step = next(operator.index for operator in search.graph.operators if operator.name == layer)
    used = sum(storage.size_bytes for storage in search.alive[step] if storage.index not in external)
    used += working_size(cuts[step].geometry, cuts[step].tiling)
    operator = search.graph.operators[step]
    streamed = streamed_bytes(search.graph, operator)
    needs_maps = streamed > search.capacity  # in SRAM: then it can have no room to itself
    least = needed_bytes(search.graph, operator) if needs_maps else streamed
    room = max(least, min(used - 1, search.room[step] - search.capacity // STEPS_DOWN))
    if room == search.room[step]:
        if needs_maps:
            raise _too_small(search, operator)
        search.bare.add(step)
    search.room[step] = room


def _home(graph: Graph, resident: dict[int, int], index: int) -> Home:
    slot = graph.slots[index]
    storage = graph.storages[slot.storage]
    address = resident.get(slot.storage)
    return Home(None if address is None else address + slot.offset_bytes, storage.first, storage.last)


def _segments(search: _Search, resident: dict[int, int], cuts: tuple[Cut, ...], addresses: tuple[int, ...]) -> tuple[Segment, ...]:
    """A segment for each cut, with its buffers; under `overlap` there are more of them, and where they can
    be filled early.
    """
    found = iter(addresses)
    segments = []
    for cut in cuts:
        buffers = tuple(Buffer(name, next(found), size, cut.operator) for name, size in working_bytes(cut.geometry, cut.tiling))
        segments.append(Segment((cut,), buffers))
    return tuple(segments) if search.policy == "serial" else place_ahead(search.graph, search.capacity, resident, tuple(segments))


def external_storages(graph: Graph, plan: Plan) -> frozenset[int]:
    """The storages that the plan puts in external memory."""
    return frozenset(graph.slots[index].storage for index, home in enumerate(plan.homes) if home.address is None)


def external_bytes(graph: Graph, external: Container[int]) -> int:
    """The bytes of external memory for input, weights, outputs and spilled maps (assumption: each has a
    place of its own).
    """
    classes = value_classes(graph)
    kept = {classes[index] for index in range(len(graph.maps)) if graph.slots[index].storage in external or index in (0, *graph.outputs)}
    needed = sum(operator.weight_bytes for operator in graph.operators)
    return needed + sum(graph.maps[class_root(graph, classes, number)].size_bytes for number in kept)
