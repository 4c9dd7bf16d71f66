"""An estimate in sentences: the busiest engine, the bounds and the distance from them, the costliest
layers.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from mnsim.analysis.bounds import compulsory_bytes
from mnsim.analysis.cost import Estimate
from mnsim.graph.model import Graph
from mnsim.graph.operators import vector_work
from mnsim.plan.model import Plan
from mnsim.report.records import ENGINE_TIMES
from mnsim.spec.records import BUS, MATRIX, VECTOR, Hardware, OutsideMemory
from mnsim.units import format_binary, format_peak, format_scaled

if TYPE_CHECKING:
    from mnsim.program.model import EngineName

ENGINE_WORDS: "dict[EngineName, str]" = {BUS: "the bus", MATRIX: "the matrix unit", VECTOR: "the vector unit"}
_NOTICEABLE = 1.001


def engine_words(engine: "EngineName") -> str:
    """An engine in a sentence; the bus of a further memory by its name."""
    return ENGINE_WORDS.get(engine, f"the {engine}")


def sentence_case(words: str) -> str:
    """The words with a capital, as a sentence begins."""
    return words[0].upper() + words[1:]


def headline(estimate: Estimate, peak_sram_bytes: int | None = None) -> tuple[str, ...]:
    """The network, the machine, and the totals that have no column: three lines.

    The SRAM is what the plan reserves, or the most that a run has in use where that is given.
    """
    graph, hardware = estimate.graph, estimate.hardware
    shape = " x ".join(map(str, graph.maps[0].shape))
    network = f"{graph.name}, alpha {float(graph.alpha):.4g}, rho {float(graph.rho):.4g}, input {shape}, {graph.dtype}"
    machine = ", ".join(
        (
            f"{hardware.external_kind} over {format_peak(hardware.bus_bandwidth_bytes_per_s, 'B/s')}",
            f"{format_binary(hardware.sram_capacity_bytes)} SRAM",
            f"matrix {format_peak(hardware.matrix.throughput_per_s, 'FLOPS')}",
            f"vector {format_peak(hardware.vector.throughput_per_s, 'FLOPS')}",
            *map(_further_memory, hardware.further),
        )
    )
    total = estimate.total
    sums = f"{total.parameters:,} parameters, {total.weight_bytes:,} B weights"
    used = f"reserved {total.reserved_sram_bytes:,}" if peak_sram_bytes is None else f"peak {peak_sram_bytes:,}"
    return network, f"on {hardware.name}: {machine}", f"{sums}, SRAM {used} of {hardware.sram_capacity_bytes:,} B"


def _further_memory(memory: OutsideMemory) -> str:
    size = "" if memory.capacity_bytes is None else f"{format_binary(memory.capacity_bytes)} "
    return f"{memory.name} {size}over {format_peak(memory.bandwidth_bytes_per_s, 'B/s')}"


def idle_memories(hardware: Hardware, used: Collection[str] = ()) -> tuple[str, ...]:
    """The sentence about further memories in which nothing lives, if there are any: all but those `used`."""
    return nothing_lives_in([memory.name for memory in hardware.further if memory.name not in used])


def nothing_lives_in(memories: Sequence[str]) -> tuple[str, ...]:
    """The sentence about these memories, if there are any."""
    if not memories:
        return ()
    fact = f"Nothing lives in {' and '.join(memories)} yet: plans put maps and weights into SRAM and external memory alone."
    return (f"{fact} No time, no bytes and no energy depend on {'it' if len(memories) == 1 else 'them'}.",)


def sentences(estimate: Estimate) -> tuple[str, ...]:
    """A line each: the busiest engines, the bound for any schedule, the one for the plan's segments in order
    (if much higher), the costliest layers.
    """
    return _where_time_goes(estimate), _what_no_schedule_beats(estimate), *_what_sram_adds(estimate), _costly_layers(estimate)


def taken_out(graph: Graph) -> tuple[str, ...]:
    """The sentence about layers that do nothing at inference, if there are any."""
    return (f"Taken out, since they do nothing at inference: {', '.join(graph.taken_out)}.",) if graph.taken_out else ()


def not_exact(plan: Plan) -> tuple[str, ...]:
    """The sentence about a plan that may not move the fewest bytes, if it may not."""
    if plan.exact:
        return ()
    dropped = f"{plan.dropped_ways:,} ways to go on were dropped" if plan.dropped_ways else "a cheaper one found no addresses"
    return (f"The plan is not exact: {dropped}; at most {plan.at_most_fewer_bytes:,} B fewer are possible for a plan of its kind.",)


def _where_time_goes(estimate: Estimate) -> str:
    total = estimate.total
    parts: dict[EngineName, float] = {engine: getattr(total, key) for engine, key in ENGINE_TIMES.items()}
    first, *others = sorted(parts, key=lambda engine: -parts[engine])  # the first is `busiest`
    rest = " and ".join(f"{ENGINE_WORDS[engine]} {_share(parts[engine], total.serial_time_s)}" for engine in others)
    return (
        f"One thing at a time it takes {format_scaled(total.serial_time_s, 's')}: {ENGINE_WORDS[first]} is busy for "
        f"{_share(parts[first], total.serial_time_s)} of it, {rest}."
    )


def _what_no_schedule_beats(estimate: Estimate) -> str:
    total, graph, hardware = estimate.total, estimate.graph, estimate.hardware
    work = {
        BUS: f"{format_scaled(compulsory_bytes(graph), 'B')} of weights, input and output at "
        f"{format_peak(hardware.bus_bandwidth_bytes_per_s, 'B/s')}",
        MATRIX: f"{format_scaled(total.macs, 'MACs')} on the matrix unit",
        VECTOR: f"{format_scaled(_needed_ops(estimate), 'ops')} on the vector unit",
    }[total.bound_by]
    bound_s, engine = total.any_schedule_bound_time_s, ENGINE_WORDS[total.bound_by]
    least, needs = (format_scaled(time_s, "s") for time_s in (bound_s, total.bound_time_s))
    if least == needs:
        fact = f"No schedule beats {least}, which {engine} sets ({work}):"
    else:
        more = format_scaled(bound_s - total.bound_time_s, "s")
        waits = f"what must wait for the last element of a layer, or be loaded twice, adds {more}"
        fact = f"No schedule beats {least}: {engine} needs {needs} ({work}), and {waits};"
    ratio = total.serial_time_s / bound_s if bound_s else 1.0
    return f"{fact} one thing at a time is {ratio:.2f}x that{_detour(estimate)}."


def _needed_ops(estimate: Estimate) -> int:
    """Vector operations that any schedule does: all but this plan's copies."""
    operators = (operator for operator in estimate.graph.operators if not operator.copied)
    return sum(ops for operator in operators for _, ops in vector_work(operator, estimate.hardware.fused))


def _what_sram_adds(estimate: Estimate) -> tuple[str, ...]:
    """The bound for the plan's segments in their order, where it is noticeably higher than the one for any
    schedule.
    """
    total, plan = estimate.total, estimate.plan
    if total.capacity_bound_time_s < _NOTICEABLE * total.any_schedule_bound_time_s:
        return ()
    sram = format_binary(estimate.hardware.sram_capacity_bytes)
    parts = "layers" if len(plan.segments) == len(plan.cuts) else "segments of fused layers"
    least = format_scaled(total.capacity_bound_time_s, "s")
    return (f"With {sram} of SRAM, this plan's {parts}, one after another, take at least {least}.",)


def _detour(estimate: Estimate) -> str:
    """The bytes on the bus beyond the compulsory ones: maps that go out and come in again, weights that are
    read again.
    """
    extra = estimate.total.traffic_bytes - compulsory_bytes(estimate.graph)
    weights = sum(row.traffic.weight_bytes for row in estimate.layers) - estimate.total.weight_bytes
    parts = ((extra - weights, "of feature maps that do not stay in SRAM"), (weights, "of weights read again"))
    shown = " and ".join(f"{format_scaled(size, 'B')} {what}" for size, what in parts if size)
    return f"; beyond weights, input and output, {shown} cross the bus" if extra else ""


def _costly_layers(estimate: Estimate) -> str:
    """The three groups of like layers (one type, one time) that take most time together."""
    total_s = estimate.total.serial_time_s
    groups: dict[tuple[str, float, EngineName], list[str]] = {}
    for row in estimate.layers:
        operator = estimate.graph.operators[row.index]
        if row.busiest is not None:
            groups.setdefault((operator.label, row.time_s, row.busiest), []).append(operator.name)
    costly = sorted(groups.items(), key=lambda group: -group[0][1] * len(group[1]))[:3]
    named = ", ".join(_group(names, time_s, busiest, total_s) for (_, time_s, busiest), names in costly)
    together = sum(time_s * len(names) for (_, time_s, _), names in costly)
    return f"Most costly: {named}; together {_share(together, total_s)} of the time."


def _group(names: list[str], time_s: float, busiest: "EngineName", total_s: float) -> str:
    listed = names[0] if len(names) == 1 else f"{len(names)} like {names[0]}"
    each = " each" if len(names) > 1 else ""
    engine = ENGINE_WORDS[busiest].removeprefix("the ")
    return f"{listed} {format_scaled(time_s, 's')}{each} ({_share(time_s * len(names), total_s)}, {engine})"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0 %"
