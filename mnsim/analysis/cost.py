"""The analytical model: what a plan costs, layer by layer, in closed form.

A layer's time is the sum of its parts, one at a time (policy `serial` and the papers' tables): data movement, matrix unit,
vector unit. Transfers take `bytes / bandwidth` and the external memory's latency each; a matrix operator takes
2 * MACs / throughput (1 MAC = 2 FLOP), a vector operation 1 / throughput, each command its launch overhead.

Times are computed from `Rates`, of one machine or of many at once; both give the same numbers to the last bit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Generic, NamedTuple

from mnsim.graph.model import Graph, Operator
from mnsim.graph.operators import vector_work
from mnsim.plan.model import Cut, Plan, segments_of
from mnsim.plan.tiling import Traffic, tile_counts, tile_traffic
from mnsim.program.rates import EngineRates, Number, Rates, rates_of
from mnsim.spec.records import Hardware

if TYPE_CHECKING:
    from mnsim.analysis.energy import LayerEnergy
    from mnsim.program.model import EngineName


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer's figures.

    `traffic` splits what crosses the bus; `sram_bytes` is what the plan sets aside while the layer runs (`sram_in_use`). `busiest` is the
    engine that takes longest of the layer's three times; None where all three are 0.
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
    """The network's figures: sums over its layers, the most of their SRAM, and two lower bounds.

    `bound_time_s` holds for any schedule (`bound_times`), `capacity_bound_time_s` for this capacity and order of layers. `busiest` is the
    engine that takes longest of the plan's three times, `bound_by` the one whose least work sets `bound_time_s`: a plan that moves
    maps out and in again can keep the bus busiest where the matrix unit sets the bound.
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
    """What a layer does as the plan cuts it, whatever the rates: `tiles` of its output, each summed over `in_blocks`.

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
    """A plan's times in seconds, as in `TotalCost`; `bounds` are `bound_times`, of which `bound_time_s` is the largest."""

    transfer_time_s: Number
    matrix_time_s: Number
    vector_time_s: Number
    serial_time_s: Number
    bound_time_s: Number
    capacity_bound_time_s: Number
    bounds: tuple[Number, Number, Number]


def estimate(graph: Graph, plan: Plan, hardware: Hardware) -> Estimate:
    """The plan's cost. A function of the plan alone: no schedule is played."""
    rates = rates_of(hardware)
    sram_bytes = [sum(size for _, _, size in parts) for parts in sram_in_use(graph, plan)]
    segments = segments_of(plan)
    works = layer_works(graph, plan, hardware.fused)
    times = [layer_times(work, rates) for work in works]
    layers = tuple(_layer_cost(work, spent, sram_bytes[segments[work.operator.index]]) for work, spent in zip(works, times, strict=True))
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
        _engine_s(rates.engines["bus"], [("", traffic.total_bytes)], traffic.transfers),
        _engine_s(rates.engines["matrix"], _matrix_work(operator), bool(operator.macs) * tiles * work.in_blocks),
        _engine_s(rates.engines["vector"], ops, len(ops) * tiles),
    )


def _engine_s(engine: EngineRates[Number], work: Iterable[tuple[str, int]], commands: int) -> Number:
    """Seconds of so much work of each kind in so many commands."""
    spent = _busy_s(engine, work)
    for overhead in engine.overheads:
        spent = spent + commands * overhead
    return spent


def _busy_s(engine: EngineRates[Number], work: Iterable[tuple[str, int]]) -> Number:
    """Seconds of so much work of each kind, without what each command takes besides."""
    return plain_sum((amount / engine.reached(kind) for kind, amount in work), 0.0 * engine.throughput)


def _matrix_work(operator: Operator) -> list[tuple[str, int]]:
    return [(operator.label, 2 * operator.macs)]


def plain_sum(values: Iterable[Number], zero: Number) -> Number:
    """The values added up in their order: `sum` compensates floats from Python 3.12 on, but not arrays, and both must agree."""
    return reduce(add, values, zero)


def layer_traffic(graph: Graph, cut: Cut) -> Traffic:
    """What crosses the bus for a layer: its tiles' traffic, and the network's inputs and outputs that cross whole."""
    tiles = tile_traffic(cut.geometry, cut.tiling)
    loaded, stored = (sum(graph.maps[index].size_bytes for index in ends) for ends in (cut.loads_whole, cut.stores_whole))
    transfers = tiles.transfers + len(cut.loads_whole) + len(cut.stores_whole)
    return Traffic(tiles.weight_bytes, tiles.input_bytes + loaded, tiles.output_bytes + stored, transfers)


def sram_in_use(graph: Graph, plan: Plan) -> list[list[tuple[str, int, int]]]:
    """What the plan sets aside in SRAM while each segment runs, as (name, address, bytes): resident maps, then working space, all whole."""
    parts: list[list[tuple[str, int, int]]] = [[] for _ in plan.segments]
    for storage in graph.storages:
        home = plan.homes[storage.root]
        if home.address is not None:
            for step in range(home.first, home.last + 1):
                parts[step].append((graph.maps[storage.root].name, home.address, storage.size_bytes))
    for step, segment in enumerate(plan.segments):
        parts[step] += [(buffer.name, buffer.address, buffer.size_bytes) for buffer in segment.buffers]
    return parts


def _layer_cost(work: LayerWork, times: LayerTimes[float], sram_bytes: int) -> LayerCost:
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


def compulsory_bytes(graph: Graph) -> int:
    """What any schedule moves: the network's input, its weights and biases, and its outputs, once each."""
    ends = sum(graph.maps[index].size_bytes for index in (0, *graph.outputs))
    return ends + sum(operator.weight_bytes for operator in graph.operators)


def bound_times(graph: Graph, hardware: Hardware, rates: Rates[Number]) -> tuple[Number, Number, Number]:
    """Seconds that the bus, the matrix unit and the vector unit are busy at the very least; the largest bounds any schedule.

    Proof: input, weights, biases and outputs lie in external memory before or after the run, so each of their bytes crosses the
    bus at least once, at no more than the bandwidth; every operation runs once, on its own unit, at no more than the rate that
    its kind reaches (copies do not count: they are this plan's, another might place its maps without). Whatever overlaps, the
    run cannot end before the busiest engine has done its share. Latency and launch overhead only add to that.
    """
    bus, matrix, vector = (rates.engines[name] for name in ("bus", "matrix", "vector"))
    bus_s = _busy_s(bus, [("", compulsory_bytes(graph))])
    matrix_s = plain_sum((_busy_s(matrix, _matrix_work(operator)) for operator in graph.operators), 0.0 * bus_s)
    vector_work_of = (vector_work(operator, hardware.fused) for operator in graph.operators if not operator.copied)
    vector_s = plain_sum((_busy_s(vector, work) for work in vector_work_of), 0.0 * bus_s)
    return bus_s, matrix_s, vector_s


def capacity_bound_time_s(graph: Graph, plan: Plan, hardware: Hardware, rates: Rates[Number]) -> Number:
    """Seconds that no schedule beats which ends the matrix work of each of the plan's segments before that of the next one starts.

    However it tiles, prefetches and overlaps, and whenever vector work runs. Let E_k be when the matrix work of the segments up to
    k has ended (0 before the first). T_k <= E_k is the largest of

    - T_(k-1) + matrix time of k: none of that work starts before E_(k-1), all of it on one unit. (By induction this holds T_q +
      matrix time of q+1..k for every q < k, and the sum up to k.)
    - bytes needed up to k / bandwidth: the filters and biases (where sums start) of matrix work up to k, and the network's input if
      some of that work needs all of it.
    - T_q + (weights of matrix work in q+1..k - capacity) / bandwidth for every q < k: at E_q nothing has used any of them, and each
      that is on chip takes room of its own, so all but the capacity's worth cross between E_q and E_k.

    At E_k nothing has used the weights that wait for segments after k, whether for their matrix or for vector work on what it
    gives: all but the capacity's worth cross later. Outputs that wait for those segments do not exist yet: all their bytes cross
    later, whatever the capacity. Hence the run ends no earlier than
    T_k + (max(0, weights after k - capacity) + outputs after k) / bandwidth for every k, nor earlier than `bound_times`.
    Left out, for they only add: room that maps take, what of k's own output crosses after E_k, whatever crosses twice, latency,
    launch overhead.
    """
    bandwidth, capacity = rates.engines["bus"].throughput, hardware.sram_capacity_bytes
    steps = _steps(graph, plan, hardware)
    weights_after, outputs_after = sum(step.weight_bytes for step in steps), sum(step.output_bytes for step in steps)
    bound_s = _maximum(*bound_times(graph, hardware, rates))
    inputs = needed = 0
    reached_s = ahead_s = 0.0 * bound_s  # T_k, and the largest T_q - weights up to q / bandwidth so far
    for step in steps:
        inputs += step.input_bytes
        needed += step.needed_bytes
        matrix_s = plain_sum((_busy_s(rates.engines["matrix"], _matrix_work(operator)) for operator in step.matrix), 0.0 * bound_s)
        reached_s = _maximum(reached_s + matrix_s, (inputs + needed) / bandwidth, ahead_s + (needed - capacity) / bandwidth)
        ahead_s = _maximum(ahead_s, reached_s - needed / bandwidth)
        weights_after -= step.weight_bytes
        outputs_after -= step.output_bytes
        bound_s = _maximum(bound_s, reached_s + (max(0, weights_after - capacity) + outputs_after) / bandwidth)
    return bound_s


def _maximum(first: Number, *others: Number) -> Number:
    """The largest number, or for each setting the largest."""
    if isinstance(first, int | float):
        return max(first, *others)
    from numpy import maximum

    return reduce(maximum, others, first)


@dataclass(slots=True)
class _Step:
    """A segment's operators with matrix work, and the weights and outputs that wait for it. The input is the first's that needs it all."""

    matrix: list[Operator] = field(default_factory=list)
    input_bytes: int = 0
    needed_bytes: int = 0
    weight_bytes: int = 0
    output_bytes: int = 0


def _steps(graph: Graph, plan: Plan, hardware: Hardware) -> list[_Step]:
    """The plan's segments with what `capacity_bound_time_s` counts of them.

    `waits` says for each map the last segment before whose matrix work no element of the map exists (-1 if there is none): a
    concat's parts come one by one, so there it is the earliest. `whole` are the maps that need all of the network's input. A batch
    norm on the vector unit may read its scale and shift when the matrix work is over: they are not needed by its end.
    """
    steps = [_Step() for _ in plan.segments]
    waits, whole, outputs, unread_bytes = {0: -1}, {0}, set(graph.outputs), graph.maps[0].size_bytes
    for index, number in segments_of(plan).items():
        operator, step = graph.operators[index], steps[number]
        reads = [waits[source] for source in operator.inputs]
        latest = number if operator.macs else min(reads) if operator.kind == "concat" else max(reads)
        if whole.intersection(operator.inputs) and _covers_input(graph, operator):
            whole.add(operator.output)
            if operator.macs:
                step.input_bytes, unread_bytes = step.input_bytes + unread_bytes, 0
        if operator.macs:
            later_norm = any(name == "batch_norm" for name, _ in vector_work(operator, hardware.fused))
            step.matrix.append(operator)
            step.needed_bytes += operator.filter_bytes if later_norm else operator.weight_bytes
        if latest >= 0:
            steps[latest].weight_bytes += operator.weight_bytes
            steps[latest].output_bytes += graph.maps[operator.output].size_bytes * (operator.output in outputs)
        waits[operator.output] = latest
    return steps


def _covers_input(graph: Graph, operator: Operator) -> bool:
    """Whether the windows leave no row or column of the input out, between them or at its end."""
    window, x, y = operator.window, graph.maps[operator.inputs[0]].shape, graph.maps[operator.output].shape
    if window is None:
        return True
    ends = [(y[axis] - 1) * window.stride[axis] - window.padding[2 * axis] + window.kernel[axis] for axis in (0, 1)]
    gaps = any(window.stride[axis] > window.kernel[axis] and y[axis] > 1 for axis in (0, 1))
    return not gaps and ends[0] >= x[0] and ends[1] >= x[1]


def _added(graph: Graph, plan: Plan, hardware: Hardware, rates: Rates[Number], layers: Sequence[LayerTimes[Number]]) -> TotalTimes[Number]:
    """The layers' times added up, beside what no schedule beats."""
    bounds = bound_times(graph, hardware, rates)
    zero = 0.0 * bounds[0]
    return TotalTimes(
        transfer_time_s=plain_sum((layer.transfer_s for layer in layers), zero),
        matrix_time_s=plain_sum((layer.matrix_s for layer in layers), zero),
        vector_time_s=plain_sum((layer.vector_s for layer in layers), zero),
        serial_time_s=plain_sum((layer.transfer_s + layer.matrix_s + layer.vector_s for layer in layers), zero),
        bound_time_s=_maximum(*bounds),
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
        capacity_bound_time_s=times.capacity_bound_time_s,
        busiest=_largest(times.transfer_time_s, times.matrix_time_s, times.vector_time_s),
        bound_by=_largest(*times.bounds),
    )
