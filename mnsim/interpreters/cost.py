"""The analytical model: what a plan costs, layer by layer, in closed form.

A layer's time is the sum of its parts, one at a time (policy `serial` and the papers' tables): data movement, matrix unit,
vector unit. Transfers take `bytes / bandwidth` and the external memory's latency each; a matrix operator takes
2 * MACs / throughput (1 MAC = 2 FLOP), a vector operation 1 / throughput, each command its launch overhead.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mnsim.graph.model import Graph, Operator
from mnsim.graph.operators import vector_work
from mnsim.plan.model import Plan, Segment
from mnsim.plan.tiling import Traffic, external_storages, make_geometry, tile_counts, tile_traffic
from mnsim.spec.records import Engine, Hardware

if TYPE_CHECKING:
    from mnsim.program.energy import LayerEnergy

Bound = Literal["bus", "matrix", "vector"]


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer's figures. `traffic` splits what crosses the bus; `sram_bytes` is all that is in use while the layer runs."""

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
    bound: Bound

    @property
    def traffic_bytes(self) -> int:
        return self.traffic.total_bytes


@dataclass(frozen=True, slots=True)
class TotalCost:
    """The network's figures: sums over its layers, the peak of their SRAM, and two lower bounds.

    `bound_time_s` holds for any schedule (`bound_times`), `capacity_bound_time_s` for this capacity and order of layers.
    """

    macs: int
    vector_ops: int
    parameters: int
    weight_bytes: int
    traffic_bytes: int
    peak_sram_bytes: int
    transfer_time_s: float
    matrix_time_s: float
    vector_time_s: float
    serial_time_s: float
    bound_time_s: float
    capacity_bound_time_s: float
    bound: Bound


@dataclass(frozen=True, slots=True)
class Estimate:
    """A plan's cost on a piece of hardware, with all that it was computed from.

    `energies` has one entry a layer, from the plan's commands; None where the hardware file does not say energies.
    """

    graph: Graph
    plan: Plan
    hardware: Hardware
    layers: tuple[LayerCost, ...]
    total: TotalCost
    energies: "tuple[LayerEnergy, ...] | None" = None

    @property
    def energy_j(self) -> float | None:
        return None if self.energies is None else sum(layer.energy_j for layer in self.energies)


def estimate(graph: Graph, plan: Plan, hardware: Hardware) -> Estimate:
    """The plan's cost. A function of the plan alone: no schedule is played."""
    external = external_storages(graph, plan)
    in_use = sram_in_use(graph, plan)
    layers = tuple(
        _layer_cost(graph, hardware, graph.operators[index], segment, external, sum(size for _, _, size in in_use[index]))
        for segment in plan.segments
        for index in segment.operators
    )
    return Estimate(graph, plan, hardware, layers, _total(graph, plan, hardware, layers))


def layer_traffic(graph: Graph, operator: Operator, segment: Segment, external: frozenset[int]) -> Traffic:
    """What crosses the bus for a layer: its tiles' traffic, and the network's input or output whole where it lies in SRAM."""
    tiles = tile_traffic(make_geometry(graph, operator, external), segment.tiling)
    loaded = stored = transfers = 0
    start = graph.storages[graph.slots[0].storage]
    if start.index not in external and start.first == operator.index:
        loaded, transfers = graph.maps[0].size_bytes, 1
    if operator.output in graph.outputs and graph.slots[operator.output].storage not in external:
        stored, transfers = graph.maps[operator.output].size_bytes, transfers + 1
    return Traffic(tiles.weight_bytes, tiles.input_bytes + loaded, tiles.output_bytes + stored, tiles.transfers + transfers)


def sram_in_use(graph: Graph, plan: Plan) -> list[list[tuple[str, int, int]]]:
    """What is in SRAM while each segment runs, as (name, address, bytes): resident maps, then working space."""
    parts: list[list[tuple[str, int, int]]] = [[] for _ in plan.segments]
    for storage in graph.storages:
        home = plan.homes[storage.root]
        if home.address is not None:
            for step in range(home.first, home.last + 1):
                parts[step].append((graph.maps[storage.root].name, home.address, storage.size_bytes))
    for step, segment in enumerate(plan.segments):
        parts[step] += [(buffer.name, buffer.address, buffer.size_bytes) for buffer in segment.buffers]
    return parts


def efficiency(engine: Engine, kind: str) -> float:
    """The share of the engine's peak that a kind of operation reaches."""
    return dict(engine.efficiency).get(kind, 1.0)


def _layer_cost(
    graph: Graph, hardware: Hardware, operator: Operator, segment: Segment, external: frozenset[int], sram_bytes: int
) -> LayerCost:
    traffic = layer_traffic(graph, operator, segment, external)
    strips, out_blocks, in_blocks = tile_counts(make_geometry(graph, operator, external), segment.tiling)
    work = vector_work(operator, hardware.fused)
    tiles = strips * out_blocks
    transfer_s = traffic.total_bytes / hardware.bus_bandwidth_bytes_per_s + traffic.transfers * hardware.external_latency_s
    matrix_s = _matrix_busy_s(operator, hardware) + bool(operator.macs) * tiles * in_blocks * hardware.matrix.launch_overhead_s
    vector_s = _vector_busy_s(operator, hardware) + len(work) * tiles * hardware.vector.launch_overhead_s
    return LayerCost(
        index=operator.index,
        macs=operator.macs,
        vector_ops=sum(ops for _, ops in work),
        parameters=operator.parameters,
        weight_bytes=operator.weight_bytes,
        traffic=traffic,
        sram_bytes=sram_bytes,
        transfer_time_s=transfer_s,
        matrix_time_s=matrix_s,
        vector_time_s=vector_s,
        time_s=transfer_s + matrix_s + vector_s,
        bound=_largest(transfer_s, matrix_s, vector_s),
    )


def _matrix_busy_s(operator: Operator, hardware: Hardware) -> float:
    return 2 * operator.macs / (hardware.matrix.throughput_per_s * efficiency(hardware.matrix, operator.label))


def _vector_busy_s(operator: Operator, hardware: Hardware) -> float:
    vector = hardware.vector
    return sum((ops / (vector.throughput_per_s * efficiency(vector, name)) for name, ops in vector_work(operator, hardware.fused)), 0.0)


def _largest(transfer_s: float, matrix_s: float, vector_s: float) -> Bound:
    largest = max(transfer_s, matrix_s, vector_s)
    return "bus" if largest == transfer_s else "matrix" if largest == matrix_s else "vector"


def compulsory_bytes(graph: Graph) -> int:
    """What any schedule moves: the network's input, its weights and biases, and its outputs, once each."""
    ends = sum(graph.maps[index].size_bytes for index in (0, *graph.outputs))
    return ends + sum(operator.weight_bytes for operator in graph.operators)


def bound_times(graph: Graph, hardware: Hardware) -> tuple[float, float, float]:
    """Seconds that the bus, the matrix unit and the vector unit are busy at the very least; the largest bounds any schedule.

    Proof: input, weights, biases and outputs lie in external memory before or after the run, so each of their bytes crosses the
    bus at least once, at no more than the bandwidth; every operation runs once, on its own unit, at no more than the rate that
    its kind reaches (copies do not count: they are this plan's, another might place its maps without). Whatever overlaps, the
    run cannot end before the busiest engine has done its share. Latency and launch overhead only add to that.
    """
    bus_s = compulsory_bytes(graph) / hardware.bus_bandwidth_bytes_per_s
    matrix_s = sum(_matrix_busy_s(operator, hardware) for operator in graph.operators)
    vector_s = sum(_vector_busy_s(operator, hardware) for operator in graph.operators if not operator.copied)
    return bus_s, matrix_s, vector_s


def capacity_bound_time_s(graph: Graph, plan: Plan, hardware: Hardware) -> float:
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
    bandwidth, capacity = hardware.bus_bandwidth_bytes_per_s, hardware.sram_capacity_bytes
    steps = _steps(graph, plan, hardware)
    weights_after, outputs_after = sum(step.weight_bytes for step in steps), sum(step.output_bytes for step in steps)
    bound_s = max(bound_times(graph, hardware))
    inputs = needed = 0
    reached_s = ahead_s = 0.0  # T_k, and the largest T_q - weights up to q / bandwidth so far
    for step in steps:
        inputs += step.input_bytes
        needed += step.needed_bytes
        reached_s = max(reached_s + step.matrix_s, (inputs + needed) / bandwidth, ahead_s + (needed - capacity) / bandwidth)
        ahead_s = max(ahead_s, reached_s - needed / bandwidth)
        weights_after -= step.weight_bytes
        outputs_after -= step.output_bytes
        bound_s = max(bound_s, reached_s + (max(0, weights_after - capacity) + outputs_after) / bandwidth)
    return bound_s


@dataclass(slots=True)
class _Step:
    """What a segment's matrix work takes, and the weights and outputs that wait for it. The input is the first's that needs it all."""

    matrix_s: float = 0.0
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
    for number, index in ((number, index) for number, segment in enumerate(plan.segments) for index in segment.operators):
        operator, step = graph.operators[index], steps[number]
        reads = [waits[source] for source in operator.inputs]
        latest = number if operator.macs else min(reads) if operator.kind == "concat" else max(reads)
        if whole.intersection(operator.inputs) and _covers_input(graph, operator):
            whole.add(operator.output)
            if operator.macs:
                step.input_bytes, unread_bytes = step.input_bytes + unread_bytes, 0
        if operator.macs:
            later_norm = any(name == "batch_norm" for name, _ in vector_work(operator, hardware.fused))
            step.matrix_s += _matrix_busy_s(operator, hardware)
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


def _total(graph: Graph, plan: Plan, hardware: Hardware, layers: Iterable[LayerCost]) -> TotalCost:
    rows = tuple(layers)
    bounds = bound_times(graph, hardware)
    return TotalCost(
        macs=sum(row.macs for row in rows),
        vector_ops=sum(row.vector_ops for row in rows),
        parameters=sum(row.parameters for row in rows),
        weight_bytes=sum(row.weight_bytes for row in rows),
        traffic_bytes=sum(row.traffic_bytes for row in rows),
        peak_sram_bytes=max(row.sram_bytes for row in rows),
        transfer_time_s=sum(row.transfer_time_s for row in rows),
        matrix_time_s=sum(row.matrix_time_s for row in rows),
        vector_time_s=sum(row.vector_time_s for row in rows),
        serial_time_s=sum(row.time_s for row in rows),
        bound_time_s=max(bounds),
        capacity_bound_time_s=capacity_bound_time_s(graph, plan, hardware),
        bound=_largest(*bounds),
    )
