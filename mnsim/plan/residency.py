"""The search for a plan: which maps stay in SRAM, and the tiles that move the fewest bytes.

A greedy search. All maps start in SRAM; where a segment has no room for its smallest tile, the map there whose absence costs the
fewest bytes goes external, until every segment fits: first by the sum of bytes, then by the addresses that a placement finds. Then
maps change sides, one way or the other, where that moves fewer bytes.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import ceil
from typing import NamedTuple

from mnsim.errors import CapacityError
from mnsim.graph.model import Graph, Operator, Storage
from mnsim.graph.operators import RULES
from mnsim.plan.model import STAYS, Buffer, Home, Plan, Segment, Tiling
from mnsim.plan.placement import Gap, alive_by_step, fit_buffers, free_gaps, place_storages
from mnsim.plan.tiling import Geometry, make_geometry, tile_traffic, working_bytes
from mnsim.spec.records import Hardware

INTERNAL, EXTERNAL = "internal memory", "external memory"


class _Layout(NamedTuple):
    """A choice of external storages that fits: addresses of the others, and each operator's free gaps."""

    external: frozenset[int]
    addresses: dict[int, int]
    gaps: tuple[tuple[Gap, ...], ...]


class _Search(NamedTuple):
    """What the search works on: for every operator the storages alive, for every storage the bytes that its absence costs.

    `best` are the best tilings found so far, by geometry and sizes of the gaps.
    """

    graph: Graph
    capacity: int
    alive: list[list[Storage]]
    spill_costs: tuple[int, ...]
    best: dict[tuple[Geometry, tuple[int, ...]], Tiling | None]


def make_plan(graph: Graph, hardware: Hardware) -> Plan:
    """The plan of policy `serial`: one thing at a time, feature maps in SRAM while they fit.

    It depends on the graph and the SRAM's capacity, never on rates. Raises CapacityError when not even the smallest tile of a
    layer fits, or the network's bytes do not fit external memory.
    """
    alive = alive_by_step(graph.storages, len(graph.operators))
    search = _Search(graph, hardware.sram_capacity_bytes, alive, _spill_costs(graph), {})
    layout = _spill_until_it_fits(search, 1)
    starts = [layout]
    if layout.external:
        starts += [_spill_until_it_fits(search, -1), *_plans_for_less(search)]
    layout = min((_improve(search, start) for start in starts), key=lambda layout: _total_bytes(search, layout))
    segments = tuple(_segment(search, layout, index) for index in range(len(graph.operators)))
    homes = tuple(_home(graph, layout, index) for index in range(len(graph.maps)))
    _check_external(graph, hardware, layout.external)
    return Plan("serial", search.capacity, segments, homes)


def _home(graph: Graph, layout: _Layout, index: int) -> Home:
    slot = graph.slots[index]
    storage = graph.storages[slot.storage]
    address = layout.addresses.get(slot.storage)
    return Home(None if address is None else address + slot.offset_bytes, storage.first, storage.last)


def _segment(search: _Search, layout: _Layout, index: int) -> Segment:
    geometry = make_geometry(search.graph, search.graph.operators[index], layout.external)
    gaps = layout.gaps[index]
    tiling = _best_tiling(search, geometry, gaps)
    assert tiling is not None  # the layout was found by asking for it
    sizes = working_bytes(geometry, tiling)
    addresses = fit_buffers([size for _, size in sizes], gaps)
    assert addresses is not None
    buffers = tuple(Buffer(name, address, size) for (name, size), address in zip(sizes, addresses, strict=True))
    return Segment((index,), tiling, buffers)


def _spill_until_it_fits(search: _Search, tie: int) -> _Layout:
    external: frozenset[int] = frozenset()
    for operator in search.graph.operators:
        while not _fits_by_sum(search, operator, external):
            external |= {_cheapest(search, operator.index, external, tie)}
    while isinstance(found := _lay_out(search, external), int):
        external |= {_cheapest(search, found, external, tie)}
    return found


def _fits_by_sum(search: _Search, operator: Operator, external: frozenset[int]) -> bool:
    """Whether the resident maps and the smallest tile fit, wherever they lie."""
    resident = _resident_bytes(search, operator.index, external)
    return resident + _smallest_bytes(make_geometry(search.graph, operator, external)) <= search.capacity


def _smallest_bytes(geometry: Geometry) -> int:
    return min(sum(size for _, size in working_bytes(geometry, tiling)) for tiling in _smallest_tilings(geometry))


def _cheapest(search: _Search, step: int, external: frozenset[int], tie: int) -> int:
    """The storage alive at the step whose absence costs least: of equals the largest, then the oldest (tie 1) or youngest (-1).

    Raises CapacityError when there is none.
    """
    resident = [storage for storage in search.alive[step] if storage.index not in external]
    if not resident:
        operator = search.graph.operators[step]
        needed = _smallest_bytes(make_geometry(search.graph, operator, external))
        raise CapacityError(INTERNAL, needed, search.capacity, operator.name)
    return min(resident, key=lambda storage: (search.spill_costs[storage.index], -storage.size_bytes, tie * storage.first)).index


def _plans_for_less(search: _Search) -> Iterator[_Layout]:
    """Layouts found for smaller memories, laid out in this one: what serves there serves here, and the greedy start may miss it."""
    for eighths in (7, 6, 4):
        smaller = search._replace(capacity=search.capacity * eighths // 8, best={})
        with suppress(CapacityError):
            found = _lay_out(search, _improve(smaller, _spill_until_it_fits(smaller, 1)).external)
            if isinstance(found, _Layout):
                yield found


def _improve(search: _Search, layout: _Layout) -> _Layout:
    """The layout with storages brought back into SRAM, or sent out of it, where that fits and moves fewer bytes.

    A spilled map may fit once another has gone; a resident one may leave so little room that weights are read again and again.
    """
    tried: set[tuple[int, bool]] = set()
    while batch := _candidates(search, layout, tried):
        layout = _flip(search, layout, batch)
        tried.update((index, index in layout.external) for index in batch)
        tried.update((index, index not in layout.external) for index in batch)
    return layout


def _candidates(search: _Search, layout: _Layout, tried: set[tuple[int, bool]]) -> list[int]:
    """Storages whose change could pay, spilled ones first, then by cost; no two alive at one operator: they do not compete."""
    busy: set[int] = set()
    batch = []
    for storage in sorted(search.graph.storages, key=lambda each: (each.index not in layout.external, -search.spill_costs[each.index])):
        life = set(range(storage.first, storage.last + 1))
        if (storage.index, storage.index in layout.external) not in tried and not life & busy and _could_pay(search, layout, storage):
            batch.append(storage.index)
            busy |= life
    return batch


def _flip(search: _Search, layout: _Layout, batch: list[int]) -> _Layout:
    """The layout with the batch on the other side if that is better as a whole, else with what each half of it gains."""
    other = _lay_out(search, layout.external.symmetric_difference(batch))
    if isinstance(other, _Layout) and _total_bytes(search, other) < _total_bytes(search, layout):
        return other
    if len(batch) == 1:
        return layout
    middle = len(batch) // 2
    return _flip(search, _flip(search, layout, batch[:middle]), batch[middle:])


def _could_pay(search: _Search, layout: _Layout, storage: Storage) -> bool:
    """Whether the operators in the storage's life would move fewer bytes with it on the other side, free space there in one gap."""
    life = search.graph.operators[storage.first : storage.last + 1]
    external, crossing = layout.external ^ {storage.index}, _crossing_bytes(search.graph, storage)
    before, after = (0, crossing) if storage.index in layout.external else (crossing, 0)
    for operator in life:
        before += _tile_bytes(search, operator, layout.external, layout.gaps[operator.index]) or 0
    if before <= crossing + sum(operator.weight_bytes for operator in life):
        return False  # what must cross once crosses once: there is nothing to gain
    for operator in life:
        room = search.capacity - _resident_bytes(search, operator.index, external)
        moved = _tile_bytes(search, operator, external, ((0, room),)) if room >= 0 else None
        if moved is None:
            return False
        after += moved
    return after < before


def _crossing_bytes(graph: Graph, storage: Storage) -> int:
    """Bytes of the network's input or outputs in a storage: they cross the bus once even when it is in SRAM."""
    return sum(graph.maps[index].size_bytes for index in storage.members if index == 0 or index in graph.outputs)


def _resident_bytes(search: _Search, step: int, external: frozenset[int]) -> int:
    return sum(storage.size_bytes for storage in search.alive[step] if storage.index not in external)


def _tile_bytes(search: _Search, operator: Operator, external: frozenset[int], gaps: Sequence[Gap]) -> int | None:
    """Traffic of an operator's best tiling in the gaps, None when nothing fits."""
    geometry = make_geometry(search.graph, operator, external)
    tiling = _best_tiling(search, geometry, gaps)
    return None if tiling is None else tile_traffic(geometry, tiling).total_bytes


def _lay_out(search: _Search, external: frozenset[int]) -> _Layout | int:
    """Addresses for all storages that are not external, or the operator at which they leave no room for a tile."""
    storages = [storage for storage in search.graph.storages if storage.index not in external]
    addresses = place_storages(storages, len(search.graph.operators), search.capacity)
    if isinstance(addresses, int):
        return _busiest_step(search, search.graph.storages[addresses], external)
    gaps = []
    for operator in search.graph.operators:
        resident = (storage for storage in search.alive[operator.index] if storage.index not in external)
        gaps.append(free_gaps(((addresses[storage.index], storage.size_bytes) for storage in resident), search.capacity))
        geometry = make_geometry(search.graph, operator, external)
        if not any(_fits(geometry, tiling, gaps[-1]) for tiling in _smallest_tilings(geometry)):
            return operator.index
    return _Layout(external, addresses, tuple(gaps))


def _busiest_step(search: _Search, failed: Storage, external: frozenset[int]) -> int:
    """The operator in the failed storage's life at which the most bytes are alive."""
    return max(range(failed.first, failed.last + 1), key=lambda step: _resident_bytes(search, step, external))


def _spill_costs(graph: Graph) -> tuple[int, ...]:
    """For every storage the bytes that cross the bus because it is external.

    Each of its maps is written once and read by each of its readers, less what crosses anyway: the network's input, the outputs.
    """
    reads = [0] * len(graph.maps)
    for operator in graph.operators:
        for source in operator.copied if RULES[operator.kind].memory == "renames" else operator.inputs:
            reads[source] += 1
    crossings = [reads[index] - (index == 0) + (index != 0 and index not in graph.outputs) for index in range(len(graph.maps))]
    return tuple(sum(crossings[member] * graph.maps[member].size_bytes for member in storage.members) for storage in graph.storages)


def _total_bytes(search: _Search, layout: _Layout) -> int:
    """Traffic of the whole network under a layout."""
    graph = search.graph
    total = sum(_crossing_bytes(graph, storage) for storage in graph.storages if storage.index not in layout.external)
    for operator, gaps in zip(graph.operators, layout.gaps, strict=True):
        moved = _tile_bytes(search, operator, layout.external, gaps)
        assert moved is not None
        total += moved
    return total


def _check_external(graph: Graph, hardware: Hardware, external: frozenset[int]) -> None:
    """All weights, the input, the outputs and the spilled maps must fit (assumption: each has a place of its own)."""
    if hardware.external_capacity_bytes is None:
        return
    needed = sum(operator.weight_bytes for operator in graph.operators)
    kept = {graph.slots[index].storage for index in (0, *graph.outputs)} | external
    needed += sum(graph.storages[index].size_bytes for index in kept)
    if needed > hardware.external_capacity_bytes:
        raise CapacityError(EXTERNAL, needed, hardware.external_capacity_bytes)


def _fits(geometry: Geometry, tiling: Tiling, gaps: Sequence[Gap]) -> bool:
    return fit_buffers([size for _, size in working_bytes(geometry, tiling)], gaps) is not None


def _block(geometry: Geometry, index: int) -> int:
    """The output blocks that a tile may have, by size: parts of a group, then multiples of whole groups; or only all channels."""
    if not geometry.splits_channels:
        return geometry.out_channels
    parts = geometry.group_out
    return index + 1 if index < parts else (index - parts + 2) * parts


def _block_count(geometry: Geometry) -> int:
    return geometry.group_out + geometry.groups - 1 if geometry.splits_channels else 1


def _heights(rows_out: int) -> list[int]:
    """Heights of strips to try, tallest first: up to 64 strips of any number, then twice as many each time, then single rows."""
    counts = [*range(1, min(64, rows_out) + 1), *(64 << step for step in range(1, rows_out.bit_length())), rows_out]
    return sorted({ceil(rows_out / strips) for strips in counts}, reverse=True)


def _smallest_tilings(geometry: Geometry) -> Iterator[Tiling]:
    """The tilings among which the smallest working space is."""
    block = _block(geometry, 0)
    for in_channels in {geometry.group_in, 1 if geometry.filter_bytes else geometry.group_in}:
        for stays in STAYS:
            yield Tiling(1, block, in_channels, stays)


def _best_tiling(search: _Search, geometry: Geometry, gaps: Sequence[Gap]) -> Tiling | None:
    """The tiling that moves the fewest bytes in the gaps, then takes the fewest transfers, then has the largest tiles."""
    key = (geometry, tuple(size for _, size in gaps))
    if key not in search.best:
        whole = list(_fitting(geometry, gaps, geometry.group_in))
        parts = 1
        while not whole and parts < geometry.group_in and geometry.filter_bytes:
            parts *= 2  # split the sum over input channels only when nothing else fits, as little as possible
            whole = list(_fitting(geometry, gaps, ceil(geometry.group_in / parts)))
        search.best[key] = min(whole, key=lambda tiling: _rank(geometry, tiling), default=None)
    return search.best[key]


def _rank(geometry: Geometry, tiling: Tiling) -> tuple[int, int, int]:
    traffic = tile_traffic(geometry, tiling)
    return traffic.total_bytes, traffic.transfers, -tiling.rows * tiling.out_channels


def _fitting(geometry: Geometry, gaps: Sequence[Gap], in_channels: int) -> Iterator[Tiling]:
    """For every height of strip and order of loops, the tiling with the largest output block that fits."""
    streams = geometry.in_streams or geometry.out_streams or in_channels < geometry.group_in
    heights = _heights(geometry.rows_out) if streams else [geometry.rows_out]
    for stays in STAYS if in_channels < geometry.group_in else STAYS[:2]:
        for rows in heights:
            low, high = 0, _block_count(geometry)
            while low < high:  # the largest block that fits: the working space grows with it
                middle = (low + high) // 2
                if _fits(geometry, Tiling(rows, _block(geometry, middle), in_channels, stays), gaps):
                    low = middle + 1
                else:
                    high = middle
            if low:
                yield Tiling(rows, _block(geometry, low - 1), in_channels, stays)
