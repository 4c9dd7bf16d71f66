"""The analytical model: what a plan costs, layer by layer, in closed form.

A layer's time is the sum of its parts, one at a time (policy `serial` and the papers' tables): data
movement, matrix unit, vector unit. Transfers take `bytes / bandwidth` and the external memory's latency
each; a matrix operator takes 2 * MACs / throughput (1 MAC = 2 FLOP), a vector operation 1 / throughput,
each command its launch overhead.

Times are computed from `Rates`, of one machine or of many at once; both give the same numbers to the last
bit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple

from mnsim.analysis.any_schedule import any_schedule_bound_time_s
from mnsim.analysis.bounds import bound_times, busy_s, capacity_bound_time_s, matrix_work, maximum, plain_sum
from mnsim.clocks.rates import EngineRates, Number, Rates, rates_of
from mnsim.graph.model import Graph, Operator
from mnsim.graph.operators import vector_work
from mnsim.plan.model import Cut, Plan, segments_of
from mnsim.plan.tiling import Traffic, loads_of, tile_counts, tile_traffic
from mnsim.spec.records import Hardware

if TYPE_CHECKING:
    from mnsim.analysis.energy import LayerEnergy
    from mnsim.program.model import EngineName


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer's figures.

    `traffic` splits what crosses the bus; `sram_bytes` is what the plan sets aside while the layer runs
    (`sram_in_use`). `busiest` is the engine that takes longest of the layer's three times; None where all
    three are 0.
    """

    index: int
    macs: int
    vector_ops: int
    parameters: int
    weight_bytes: int
    traffic: Traffic
    sram_bytes: int
    transfer_time_s: float
    matrix_time_s: float
    vector_time_s: float
    time_s: float
    busiest: "EngineName | None"

    @property
    def traffic_bytes(self) -> int:
        return self.traffic.total_bytes


@dataclass(frozen=True, slots=True)
class TotalCost:
    """The network's figures: sums over its layers, the most of their SRAM, and three lower bounds.

    `bound_time_s` holds for any schedule (`bound_times`); `any_schedule_bound_time_s` is the largest that
    does; `capacity_bound_time_s` holds for those that do this plan's segments one after another. `busiest`
    is the engine that takes longest of the plan's three times, `bound_by` the one whose least work sets
    `bound_time_s`: a plan that moves maps out and in again can keep the bus busiest where the matrix unit
    sets the bound.
    """

    macs: int
    vector_ops: int
    parameters: int
    weight_bytes: int
    traffic_bytes: int
    reserved_sram_bytes: int
    transfer_time_s: float
    matrix_time_s: float
    vector_time_s: float
    serial_time_s: float
    bound_time_s: float
    any_schedule_bound_time_s: float
    capacity_bound_time_s: float
    busiest: "EngineName"
    bound_by: "EngineName"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A plan's cost on a piece of hardware, with all that it was computed from.

    `energies` has one entry a layer; None where the hardware file does not say energies.
    """

    graph: Graph
    plan: Plan
    hardware: Hardware
    layers: tuple[LayerCost, ...]
    total: TotalCost
    energies: "tuple[LayerEnergy, ...] | None" = None

    @property
    def energy_j(self) -> float | None:
        return None if self.energies is None else plain_sum((layer.energy_j for layer in self.energies), 0.0)


class LayerWork(NamedTuple):
    """What a layer does as the plan cuts it, whatever the rates: `tiles` of its output, each summed over
    `in_blocks`.

    `vector_ops` counts the operations on the vector unit by name.
    """

    operator: Operator
    traffic: Traffic
    tiles: int
    in_blocks: int
    vector_ops: tuple[tuple[str, int], ...]


class LayerTimes(NamedTuple, Generic[Number]):
    """Seconds of a layer's transfers, of its matrix and of its vector work."""

    transfer_s: Number
    matrix_s: Number
    vector_s: Number


@dataclass(frozen=True, slots=True)
class TotalTimes(Generic[Number]):
    """A plan's times in seconds, as in `TotalCost`; `bounds` are `bound_times`, of which `bound_time_s` is
    the largest.
    """

    transfer_time_s: Number
    matrix_time_s: Number
    vector_time_s: Number
    serial_time_s: Number
    bound_time_s: Number
    any_schedule_bound_time_s: Number
    capacity_bound_time_s: Number
    bounds: tuple[Number, Number, Number]


def estimate(graph: Graph, plan: Plan, hardware: Hardware) -> Estimate:
    """The plan's cost. A function of the plan alone: no schedule is played."""
    rates = rates_of(hardware)
    sram_bytes = [sum(size for _, _, size in parts) for parts in sram_in_use(graph, plan)]
    segments = segments_of(plan)
    works = layer_works(graph, plan, hardware.fused)
    times = [layer_times(work, rates) for work in works]
    layers = tuple(layer_cost(work, spent, sram_bytes[segments[work.operator.index]]) for work, spent in zip(works, times, strict=True))
    return Estimate(graph, plan, hardware, layers, _total(layers, _added(graph, plan, hardware, rates, times)))


def total_times(graph: Graph, plan: Plan, hardware: Hardware, rates: Rates[Number]) -> TotalTimes[Number]:
    """The plan's times at other rates than the hardware's: of one setting, or of many at once."""
    return _added(graph, plan, hardware, rates, [layer_times(work, rates) for work in layer_works(graph, plan, hardware.fused)])


def layer_works(graph: Graph, plan: Plan, fused: Sequence[str]) -> list[LayerWork]:
    """Every layer's work, in the plan's order."""
    works = []
    for cut in plan.cuts:
        operator = graph.operators[cut.operator]
        strips, out_blocks, in_blocks = tile_counts(cut.geometry, cut.tiling)
        vector_ops = tuple(vector_work(operator, tuple(fused)))
        works.append(LayerWork(operator, layer_traffic(graph, cut), strips * out_blocks, in_blocks, vector_ops))
    return works


def layer_times(work: LayerWork, rates: Rates[Number]) -> LayerTimes[Number]:
    """Seconds that a layer takes on each engine: the sums of its commands' durations."""
    operator, traffic, tiles, ops = work.operator, work.traffic, work.tiles, work.vector_ops
    return LayerTimes(
        engine_s(rates.engines["bus"], [("", traffic.total_bytes)], traffic.transfers),
        engine_s(rates.engines["matrix"], matrix_work(operator), bool(operator.macs) * tiles * work.in_blocks),
        engine_s(rates.engines["vector"], ops, len(ops) * tiles),
    )


def engine_s(engine: EngineRates[Number], work: Iterable[tuple[str, int]], commands: int) -> Number:
    """Seconds of so much work of each kind in so many commands."""
    spent = busy_s(engine, work)
    for overhead in engine.overheads:
        spent = spent + commands * overhead
    return spent


def layer_traffic(graph: Graph, cut: Cut) -> Traffic:
    """What crosses the bus for a layer: its tiles' traffic, and the network's inputs and outputs that
    cross whole.
    """
    tiles = tile_traffic(cut.geometry, cut.tiling)
    loaded, stored = (sum(graph.maps[index].size_bytes for index in ends) for ends in (cut.loads_whole, cut.stores_whole))
    loaded += sum(graph.maps[stream.map].size_bytes for stream in cut.streams)
    transfers = tiles.transfers + whole_maps(cut) + streamed_loads(graph, cut)
    return Traffic(tiles.weight_bytes, tiles.input_bytes + loaded, tiles.output_bytes + stored, transfers)


def whole_maps(cut: Cut) -> int:
    """How many maps cross whole, in one transfer each."""
    return len(cut.loads_whole) + len(cut.stores_whole)


def streamed_loads(graph: Graph, cut: Cut) -> int:
    """In how many loads the maps come that the operator is the first in its segment to read."""
    return sum(loads_of(graph, stream) for stream in cut.streams)


def sram_in_use(graph: Graph, plan: Plan) -> list[list[tuple[str, int, int]]]:
    """What the plan sets aside in SRAM while each segment runs, as (name, address, bytes): resident maps,
    then working space, all whole.
    """
    parts: list[list[tuple[str, int, int]]] = [[] for _ in plan.segments]
    for storage in graph.storages:
        home = plan.homes[storage.root]
        if home.address is not None:
            for step in range(home.first, home.last + 1):
                parts[step].append((graph.maps[storage.root].name, home.address, storage.size_bytes))
    for step, segment in enumerate(plan.segments):
        parts[step] += [(buffer.name, buffer.address, buffer.size_bytes) for buffer in segment.buffers]
    return parts


def layer_cost(work: LayerWork, times: LayerTimes[float], sram_bytes: int) -> LayerCost:
    """A layer's figures from what it does, and how long each engine takes for it."""
    operator = work.operator
    return LayerCost(
        index=operator.index,
        macs=operator.macs,
        vector_ops=sum(ops for _, ops in work.vector_ops),
        parameters=operator.parameters,
        weight_bytes=operator.weight_bytes,
        traffic=work.traffic,
        sram_bytes=sram_bytes,
        transfer_time_s=times.transfer_s,
        matrix_time_s=times.matrix_s,
        vector_time_s=times.vector_s,
        time_s=times.transfer_s + times.matrix_s + times.vector_s,
        busiest=_largest(*times) if any(times) else None,
    )


def _largest(transfer_s: float, matrix_s: float, vector_s: float) -> "EngineName":
    largest = max(transfer_s, matrix_s, vector_s)
    return "bus" if largest == transfer_s else "matrix" if largest == matrix_s else "vector"


def _added(graph: Graph, plan: Plan, hardware: Hardware, rates: Rates[Number], layers: Sequence[LayerTimes[Number]]) -> TotalTimes[Number]:
    """The layers' times added up, beside their lower bounds."""
    bounds = bound_times(graph, hardware, rates)
    zero = 0.0 * bounds[0]
    return TotalTimes(
        transfer_time_s=plain_sum((layer.transfer_s for layer in layers), zero),
        matrix_time_s=plain_sum((layer.matrix_s for layer in layers), zero),
        vector_time_s=plain_sum((layer.vector_s for layer in layers), zero),
        serial_time_s=plain_sum((layer.transfer_s + layer.matrix_s + layer.vector_s for layer in layers), zero),
        bound_time_s=maximum(*bounds),
        any_schedule_bound_time_s=any_schedule_bound_time_s(graph, hardware, rates),
        capacity_bound_time_s=capacity_bound_time_s(graph, plan, hardware, rates),
        bounds=bounds,
    )


def _total(rows: Sequence[LayerCost], times: TotalTimes[float]) -> TotalCost:
    return TotalCost(
        macs=sum(row.macs for row in rows),
        vector_ops=sum(row.vector_ops for row in rows),
        parameters=sum(row.parameters for row in rows),
        weight_bytes=sum(row.weight_bytes for row in rows),
        traffic_bytes=sum(row.traffic_bytes for row in rows),
        reserved_sram_bytes=max(row.sram_bytes for row in rows),
        transfer_time_s=times.transfer_time_s,
        matrix_time_s=times.matrix_time_s,
        vector_time_s=times.vector_time_s,
        serial_time_s=times.serial_time_s,
        bound_time_s=times.bound_time_s,
        any_schedule_bound_time_s=times.any_schedule_bound_time_s,
        capacity_bound_time_s=times.capacity_bound_time_s,
        busiest=_largest(times.transfer_time_s, times.matrix_time_s, times.vector_time_s),
        bound_by=_largest(*times.bounds),
    )
