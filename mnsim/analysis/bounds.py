"""Lower bounds, each with its proof: one for any schedule (`any_schedule` has a larger one), and one for
those that do a plan's segments one after another. From numbers or from arrays of many settings.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import add

from mnsim.clocks.rates import EngineRates, Number, Rates
from mnsim.graph.model import Graph, Operator
from mnsim.graph.operators import vector_work
from mnsim.plan.model import Plan, segments_of
from mnsim.spec.records import BUS, MATRIX, VECTOR, Hardware


def compulsory_bytes(graph: Graph) -> int:
    """What any schedule moves: the network's input, its weights and biases, and its outputs, once each."""
    ends = sum(graph.maps[index].size_bytes for index in (0, *graph.outputs))
    return ends + sum(operator.weight_bytes for operator in graph.operators)


def bound_times(graph: Graph, hardware: Hardware, rates: Rates[Number]) -> tuple[Number, Number, Number]:
    """Seconds that the bus, the matrix unit and the vector unit are busy at the very least; the largest
    bounds any schedule.

    Proof: input, weights, biases and outputs lie in external memory before or after the run, so each of
    their bytes crosses the bus at least once, at no more than the bandwidth; every operation runs once, on
    its own unit, at no more than the rate that its kind reaches (copies do not count: they are this
    plan's, another might place its maps without). Whatever overlaps, the run cannot end before the busiest
    engine has done its share. Latency and launch overhead only add to that.
    """
    bus, matrix, vector = (rates.engines[name] for name in (BUS, MATRIX, VECTOR))
    bus_s = busy_s(bus, [("", compulsory_bytes(graph))])
    matrix_s = plain_sum((busy_s(matrix, matrix_work(operator)) for operator in graph.operators), 0.0 * bus_s)
    vector_work_of = (vector_work(operator, hardware.fused) for operator in graph.operators if not operator.copied)
    vector_s = plain_sum((busy_s(vector, work) for work in vector_work_of), 0.0 * bus_s)
    return bus_s, matrix_s, vector_s


def capacity_bound_time_s(graph: Graph, plan: Plan, hardware: Hardware, rates: Rates[Number]) -> Number:
    """Seconds that a schedule takes at the least which does the plan's segments one after another, in their
    order: it ends the matrix work of each before that of the next one starts. One that fuses across segments
    may take less.

    However it tiles, prefetches and overlaps, and whenever vector work runs. Let E_k be when the matrix
    work of the segments up to k has ended (0 before the first). T_k <= E_k is the largest of

    - T_(k-1) + matrix time of k: none of that work starts before E_(k-1), all of it on one unit. (By
      induction this holds T_q + matrix time of q+1..k for every q < k, and the sum up to k.)
    - bytes needed up to k / bandwidth: the filters and biases (where sums start) of matrix work up to k,
      and the network's input if some of that work needs all of it.
    - T_q + (weights of matrix work in q+1..k - capacity) / bandwidth for every q < k: at E_q nothing has
      used any of them, and each that is on chip takes room of its own, so all but the capacity's worth
      cross between E_q and E_k.

    At E_k nothing has used the weights that wait for segments after k, whether for their matrix or for
    vector work on what it gives: all but the capacity's worth cross later. Outputs that wait for those
    segments do not exist yet: all their bytes cross later, whatever the capacity. Hence the run ends no
    earlier than T_k + (max(0, weights after k - capacity) + outputs after k) / bandwidth for every k, nor
    earlier than `bound_times`. Left out, for they only add: room that maps take, what of k's own output
    crosses after E_k, whatever crosses twice, latency, launch overhead.
    """
    bandwidth, capacity = rates.engines[BUS].throughput, hardware.sram_capacity_bytes
    steps = _steps(graph, plan, hardware)
    weights_after, outputs_after = sum(step.weight_bytes for step in steps), sum(step.output_bytes for step in steps)
    bound_s = maximum(*bound_times(graph, hardware, rates))
    inputs = needed = 0
    reached_s = ahead_s = 0.0 * bound_s  # T_k, and the largest T_q - weights up to q / bandwidth so far
    for step in steps:
        inputs += step.input_bytes
        needed += step.needed_bytes
        matrix_s = plain_sum((busy_s(rates.engines[MATRIX], matrix_work(operator)) for operator in step.matrix), 0.0 * bound_s)
        reached_s = maximum(reached_s + matrix_s, (inputs + needed) / bandwidth, ahead_s + (needed - capacity) / bandwidth)
        ahead_s = maximum(ahead_s, reached_s - needed / bandwidth)
        weights_after -= step.weight_bytes
        outputs_after -= step.output_bytes
        bound_s = maximum(bound_s, reached_s + (max(0, weights_after - capacity) + outputs_after) / bandwidth)
    return bound_s


@dataclass(slots=True)
class _Step:
    """A segment's operators with matrix work, and the weights and outputs that wait for it. The input is
    the first's that needs it all.
    """

    matrix: list[Operator] = field(default_factory=list)
    input_bytes: int = 0
    needed_bytes: int = 0
    weight_bytes: int = 0
    output_bytes: int = 0


def _steps(graph: Graph, plan: Plan, hardware: Hardware) -> list[_Step]:
    """The plan's segments with what `capacity_bound_time_s` counts of them.

    `waits` says for each map the last segment before whose matrix work no element of the map exists (-1 if
    there is none): a concat's parts come one by one, so there it is the earliest. `whole` are the maps
    that need all of the network's input. A batch norm on the vector unit may read its scale and shift when
    the matrix work is over: they are not needed by its end.
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


def busy_s(engine: EngineRates[Number], work: Iterable[tuple[str, int]]) -> Number:
    """Seconds of so much work of each kind, without what each command takes besides."""
    return plain_sum((amount / engine.reached(kind) for kind, amount in work), 0.0 * engine.throughput)


def matrix_work(operator: Operator) -> list[tuple[str, int]]:
    """An operator's FLOP on the matrix unit by label, 2 a MAC."""
    return [(operator.label, 2 * operator.macs)]


def plain_sum(values: Iterable[Number], zero: Number) -> Number:
    """The values added up in their order: `sum` compensates floats from Python 3.12 on, but not arrays,
    and both must agree.
    """
    return reduce(add, values, zero)


def maximum(first: Number, *others: Number) -> Number:
    """The largest number, or for each setting the largest."""
    if isinstance(first, int | float):
        return max(first, *others)
    import numpy as np  # costs start-up time that one setting does not pay

    return reduce(np.maximum, others, first)
