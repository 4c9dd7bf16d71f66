"""The plan: segments and homes that the search picked, made, and given addresses.

Where no addresses are found, the crowded segment gets less room, and the search is run again: its tiles or
its neighbours' homes change.
"""

from collections.abc import Container, Sequence
from dataclasses import replace
from typing import NamedTuple

from mnsim.errors import CapacityError
from mnsim.graph.model import Graph, Operator, Storage
from mnsim.graph.storage import class_root, value_classes
from mnsim.plan.least import needed_bytes, streamed_bytes
from mnsim.plan.model import Cut, Home, Plan, Segment
from mnsim.plan.packing import Block, place_blocks
from mnsim.plan.prefetch import Kept, Streamed, place_ahead
from mnsim.plan.search import Found, Search, cheapest, make_search, tiling_in
from mnsim.plan.segments import Setting, Style, make_fused, ring_pixel, single_buffers, size_of
from mnsim.plan.tiles import pipelined_tiling
from mnsim.plan.tiling import crossing_whole, make_geometry
from mnsim.spec.records import Hardware, Policy

INTERNAL, EXTERNAL = "internal memory", "external memory"
NODE_LIMIT = 2_000  # of the exact placement: a layer with less room is planned faster than a hard one is placed
STEPS_DOWN = 64  # by what part of the SRAM an operator's room shrinks when no addresses are found
STYLES = (  # of the first candidate, and of others
    Style(16, 1),
    Style(16, 1, slow=0),
    Style(16, 6, is_wide=False),
    Style(56, 3),
    Style(16, 1, each=4),
    Style(8, 1, charge=1024),
)


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
    return planned(make_search(graph, policy, hardware.sram_capacity_bytes, hardware.fused), hardware)


def planned(search: Search, hardware: Hardware, style: Style = STYLES[0]) -> Plan:
    """The plan that a search that has not run yet leads to, in a style. Raises CapacityError."""
    graph = search.graph
    search.each, search.slow = style.each * search.capacity, style.slow
    if search.charge != style.charge:
        search.charge, search.tilings = style.charge, {}
    unhindered: Found | None = None  # before any segment was given less room
    while True:
        found = cheapest(search)
        if isinstance(found, int):
            raise _too_small(search, graph.operators[found])
        unhindered = unhindered or found
        made = _make(search, found, style)
        if made is None:
            continue
        try:
            addresses = _place(search, made)
            break
        except CapacityError as error:
            _shrink(search, made, int(error.layer or 0))
    resident = {storage.index: address for storage, address in zip(made.resident, addresses, strict=False)}
    passed = {index for picked in found.segments for index in picked.inner}
    homes = tuple(_home(graph, made, resident, passed, index) for index in range(len(graph.maps)))
    needed = external_bytes(graph, found.external)
    if hardware.external_capacity_bytes is not None and needed > hardware.external_capacity_bytes:
        raise CapacityError(EXTERNAL, needed, hardware.external_capacity_bytes)
    segments = _addressed(made.segments, addresses[len(resident) :])
    if search.policy != "serial":
        kept = [Kept(address, graph.storages[index].size_bytes, *made.lives[index]) for index, address in resident.items()]
        segments = place_ahead(search.capacity, kept, segments, _streamed(graph, found, segments) if style.is_wide else {})
    fewer = max(0, found.moved_bytes - unhindered.least_bytes)
    return Plan(search.policy, hardware.sram_capacity_bytes, hardware.fused, segments, homes, fewer, unhindered.dropped)


def _too_small(search: Search, operator: Operator) -> CapacityError:
    """The error at an operator that no plan was found for."""
    alone = needed_bytes(search.graph, operator)
    if alone > search.capacity:
        return CapacityError(INTERNAL, alone, search.capacity, operator.name)
    enough = max(streamed_bytes(search.graph, each) for each in search.graph.operators)
    return CapacityError(INTERNAL, enough, search.capacity, operator.name, beside=True)


class _Made(NamedTuple):
    """The segments that were picked, made but for addresses: the storages that are resident, and the segments
    over which each storage is in use.
    """

    found: Found
    segments: tuple[Segment, ...]
    resident: tuple[Storage, ...]
    lives: tuple[tuple[int, int], ...]

    def resident_bytes(self, number: int) -> int:
        """Bytes of the maps that are resident while a segment runs."""
        return sum(each.size_bytes for each in self.resident if self.lives[each.index][0] <= number <= self.lives[each.index][1])


def _make(search: Search, found: Found, style: Style) -> _Made | None:
    """The segments; None where one could not be made in the room that the search counted on, which it now
    knows.
    """
    graph = search.graph
    passed = {index for picked in found.segments for index in picked.inner}
    number_of = [number for number, picked in enumerate(found.segments) for _ in range(picked.first, picked.last + 1)]
    lives = tuple((number_of[storage.first], number_of[storage.last]) for storage in graph.storages)
    resident = tuple(storage for storage in graph.storages if storage.index not in found.external and storage.index not in passed)
    made = _Made(found, (), resident, lives)
    segments = []
    for number, picked in enumerate(found.segments):
        beside = made.resident_bytes(number)
        if picked.kind == "single":
            segments.append(_single(search, graph.operators[picked.first], found.external, beside))
            continue
        key = (picked.first, picked.last, picked.kind)
        room = search.narrow.get(key, search.capacity)
        try:
            segments.append(make_fused(Setting(graph, found.external, room - beside, search.capacity, style, search.fused), picked))
        except CapacityError as error:
            search.narrow[key] = room - max(1, error.needed_bytes - error.available_bytes)
            return None
    return made._replace(segments=tuple(segments))


def _single(search: Search, operator: Operator, external: frozenset[int], beside: int) -> Segment:
    geometry = make_geometry(search.graph, operator, external)
    found = tiling_in(search, geometry, search.room[operator.index] - beside)
    assert found is not None  # the homes were chosen by asking for it
    tiling = found[0]
    if search.policy != "serial":
        key = (geometry, tiling)
        if key not in search.pipelined:
            search.pipelined[key] = pipelined_tiling(geometry, tiling, search.capacity)
        tiling = search.pipelined[key]
    cut = Cut(operator.index, geometry, tiling, *crossing_whole(search.graph, operator, external))
    return Segment((cut,), single_buffers(cut))


def _place(search: Search, made: _Made) -> tuple[int, ...]:
    """Addresses of all resident storages, then of every segment's buffers. Raises CapacityError, whose
    layer is the number of a segment.
    """
    blocks = [Block(storage.size_bytes, *made.lives[storage.index]) for storage in made.resident]
    for number, segment in enumerate(made.segments):
        blocks += [Block(buffer.size_bytes, number, number) for buffer in segment.buffers]
    return place_blocks(blocks, search.capacity, [str(number) for number in range(len(made.segments))], NODE_LIMIT)


def _addressed(segments: Sequence[Segment], addresses: Sequence[int]) -> tuple[Segment, ...]:
    found = iter(addresses)
    return tuple(
        replace(segment, buffers=tuple(replace(buffer, address=next(found)) for buffer in segment.buffers)) for segment in segments
    )


def _streamed(graph: Graph, found: Found, segments: Sequence[Segment]) -> dict[int, Streamed]:
    """The storages that fused segments load into rings. (A storage that two of them load has rows as in
    the last.)
    """
    rings = {}
    for picked, segment in zip(found.segments, segments, strict=True):
        operators = graph.operators[picked.first : picked.last + 1]
        for cut in segment.cuts:
            for stream in cut.streams:
                height, width, _ = graph.maps[stream.map].shape
                storage = graph.slots[stream.map].storage
                rings[storage] = Streamed(width * ring_pixel(graph, operators, storage)[1], height)
    return rings


def _shrink(search: Search, made: _Made, number: int) -> None:
    """Give the segment at which no address was found less room than it used. Raises CapacityError where it
    has the least already.
    """
    picked = made.found.segments[number]
    used = made.resident_bytes(number) + size_of(made.segments[number])
    if picked.kind != "single":
        key = (picked.first, picked.last, picked.kind)
        search.narrow[key] = min(used - 1, search.narrow.get(key, search.capacity) - search.capacity // STEPS_DOWN)
        return
    step = picked.first
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


def _home(graph: Graph, made: _Made, resident: dict[int, int], passed: Container[int], index: int) -> Home:
    slot = graph.slots[index]
    address = resident.get(slot.storage)
    return Home(None if address is None else address + slot.offset_bytes, *made.lives[slot.storage], slot.storage in passed)


def external_storages(graph: Graph, plan: Plan) -> frozenset[int]:
    """The storages that the plan puts in external memory."""
    return frozenset(graph.slots[index].storage for index, home in enumerate(plan.homes) if home.is_external)


def external_bytes(graph: Graph, external: Container[int]) -> int:
    """The bytes of external memory for input, weights, outputs and spilled maps (assumption: each has a
    place of its own).
    """
    classes = value_classes(graph)
    kept = {classes[index] for index in range(len(graph.maps)) if graph.slots[index].storage in external or index in (0, *graph.outputs)}
    needed = sum(operator.weight_bytes for operator in graph.operators)
    return needed + sum(graph.maps[class_root(graph, classes, number)].size_bytes for number in kept)
