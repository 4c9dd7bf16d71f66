"""The search for a plan: which maps stay in SRAM, and the tiles that move the fewest bytes.

A greedy search. All maps start in SRAM; where a segment has no room for its smallest tile, the map there whose absence costs the
fewest bytes goes external, until every segment fits. Then each spilled map is brought back if that moves fewer bytes.
"""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

from mnsim.errors import CapacityError
from mnsim.graph.model import Graph, Storage
from mnsim.plan.model import STAYS, Buffer, Home, Plan, Segment, Tiling
from mnsim.plan.placement import Gap, fit_buffers, free_gaps, place_storages
from mnsim.plan.tiling import Geometry, make_geometry, tile_traffic, working_bytes
from mnsim.spec.records import Hardware

INTERNAL, EXTERNAL = "internal memory", "external memory"


class _Layout(NamedTuple):
    """A choice of external storages that fits: addresses of the others, and each operator's free gaps."""

    external: frozenset[int]
    addresses: dict[int, int]
    gaps: tuple[tuple[Gap, ...], ...]


class _Search(NamedTuple):
    """What the search works on, and the best tilings that it found so far, by geometry and sizes of the gaps."""

    graph: Graph
    capacity: int
    best: dict[tuple[Geometry, tuple[int, ...]], Tiling | None]


def make_plan(graph: Graph, hardware: Hardware) -> Plan:
    """The plan of policy `serial`: one thing at a time, feature maps in SRAM while they fit.

    It depends on the graph and the SRAM's capacity, never on rates. Raises CapacityError when not even the smallest tile of a
    layer fits, or the network's bytes do not fit external memory.
    """
    search = _Search(graph, hardware.sram_capacity_bytes, {})
    layout = _spill_until_it_fits(search)
    layout = _bring_back(search, layout)
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


def _spill_until_it_fits(search: _Search) -> _Layout:
    external: frozenset[int] = frozenset()
    while True:
        found = _lay_out(search, external)
        if isinstance(found, _Layout):
            return found
        alive = [s for s in search.graph.storages if s.first <= found <= s.last and s.index not in external]
        if not alive:
            geometry = make_geometry(search.graph, search.graph.operators[found], external)
            needed = min(sum(size for _, size in working_bytes(geometry, tiling)) for tiling in _smallest_tilings(geometry))
            raise CapacityError(INTERNAL, needed, search.capacity, search.graph.operators[found].name)
        cheapest = min(alive, key=lambda storage: (_spill_cost(search.graph, storage), -storage.size_bytes, storage.index))
        external |= {cheapest.index}


def _bring_back(search: _Search, layout: _Layout) -> _Layout:
    """The layout with spilled storages brought back where that fits and moves fewer bytes, the most costly first."""
    moved = _total_bytes(search, layout)
    costs = {index: _spill_cost(search.graph, search.graph.storages[index]) for index in layout.external}
    for index in sorted(costs, key=lambda index: (-costs[index], index)):
        other = _lay_out(search, layout.external - {index})
        if isinstance(other, _Layout) and (fewer := _total_bytes(search, other)) < moved:
            layout, moved = other, fewer
    return layout


def _lay_out(search: _Search, external: frozenset[int]) -> _Layout | int:
    """Addresses for all storages that are not external, or the operator at which they leave no room for a tile."""
    storages = [storage for storage in search.graph.storages if storage.index not in external]
    addresses = place_storages(storages, search.capacity)
    if isinstance(addresses, int):
        return _busiest_step(storages, search.graph.storages[addresses])
    gaps = []
    for operator in search.graph.operators:
        alive = ((addresses[s.index], s.size_bytes) for s in storages if s.first <= operator.index <= s.last)
        gaps.append(free_gaps(alive, search.capacity))
        geometry = make_geometry(search.graph, operator, external)
        if not any(_fits(geometry, tiling, gaps[-1]) for tiling in _smallest_tilings(geometry)):
            return operator.index
    return _Layout(external, addresses, tuple(gaps))


def _busiest_step(storages: Sequence[Storage], failed: Storage) -> int:
    """The operator in the failed storage's life at which the most bytes are alive."""

    def alive_bytes(step: int) -> int:
        return sum(storage.size_bytes for storage in storages if storage.first <= step <= storage.last)

    return max(range(failed.first, failed.last + 1), key=alive_bytes)


def _spill_cost(graph: Graph, storage: Storage) -> int:
    """Bytes that cross the bus because a storage is external: a write and a read by each of its readers, less what crosses anyway."""
    cost = 0
    for member in storage.members:
        size = graph.maps[member].size_bytes
        reads = sum(member in (op.copied if op.kind in ("concat", "flatten") else op.inputs) for op in graph.operators)
        written = member != 0 and member not in graph.outputs
        cost += size * (reads - (member == 0) + written)
    return cost


def _total_bytes(search: _Search, layout: _Layout) -> int:
    """Traffic of the whole network under a layout; what crosses in any case (input and output in SRAM) counts too."""
    graph = search.graph
    total = sum(graph.maps[index].size_bytes for index in (0, *graph.outputs) if graph.slots[index].storage not in layout.external)
    for operator, gaps in zip(graph.operators, layout.gaps, strict=True):
        geometry = make_geometry(graph, operator, layout.external)
        tiling = _best_tiling(search, geometry, gaps)
        assert tiling is not None
        total += tile_traffic(geometry, tiling).total_bytes
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


def _blocks(geometry: Geometry) -> list[int]:
    """Output blocks that a tile may have, ascending: parts of a group, or whole groups."""
    if not geometry.splits_channels:
        return [geometry.out_channels]
    parts = range(1, geometry.group_out + 1)
    return [*parts, *range(2 * geometry.group_out, geometry.out_channels + 1, geometry.group_out)]


def _smallest_tilings(geometry: Geometry) -> Iterator[Tiling]:
    """The tilings among which the smallest working space is."""
    block = _blocks(geometry)[0]
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
    blocks = _blocks(geometry)
    streams = geometry.in_streams or geometry.out_streams or in_channels < geometry.group_in
    heights = {ceil(geometry.rows_out / strips) for strips in range(1, geometry.rows_out + 1)} if streams else {geometry.rows_out}
    for stays in STAYS if in_channels < geometry.group_in else STAYS[:2]:
        for rows in sorted(heights, reverse=True):
            low, high = 0, len(blocks)
            while low < high:  # the largest block that fits: the working space grows with it
                middle = (low + high) // 2
                if _fits(geometry, Tiling(rows, blocks[middle], in_channels, stays), gaps):
                    low = middle + 1
                else:
                    high = middle
            if low:
                yield Tiling(rows, blocks[low - 1], in_channels, stays)
