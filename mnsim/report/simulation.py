"""A simulated run as plain data: the record of `mnsim simulate`, and its flat rows. The names are a public
contract.
"""

from collections.abc import Mapping
from typing import Any

from mnsim.analysis.occupancy import Occupancy, occupancy
from mnsim.clocks.rates import rates_of
from mnsim.clocks.timeline import LayerSchedule, busy_times_s, causes_of, layer_schedules
from mnsim.pipeline import Simulated
from mnsim.plan.model import segments_of
from mnsim.program.model import Command, engines_of
from mnsim.report.candidates import candidate_records
from mnsim.report.records import Record, exactness_record, hardware_record, network_record


def simulation_record(simulated: Simulated) -> Record:
    """Network, hardware, candidates, totals, engines and layers. Times are seconds from the run's start."""
    program, timeline, estimate = simulated.program, simulated.timeline, simulated.estimate
    end_s, total = timeline.end_s, estimate.total
    return {
        "network": network_record(estimate),
        "hardware": hardware_record(estimate),
        "policy": program.policy,
        "plan": exactness_record(estimate.plan),
        "candidates": [] if simulated.choice is None else candidate_records(simulated.choice),
        "total": {
            "simulated_time_s": end_s,
            "bound_time_s": total.bound_time_s,
            "any_schedule_bound_time_s": total.any_schedule_bound_time_s,
            "capacity_bound_time_s": total.capacity_bound_time_s,
            "serial_time_s": total.serial_time_s,
            "serial_policy_time_s": simulated.serial_policy_time_s,
            "simulated_to_bound": ratio_to(end_s, total.bound_time_s),
            "simulated_to_any_schedule_bound": ratio_to(end_s, total.any_schedule_bound_time_s),
            "simulated_to_capacity_bound": ratio_to(end_s, total.capacity_bound_time_s),
            "simulated_to_serial": ratio_to(end_s, total.serial_time_s),
            "traffic_bytes": total.traffic_bytes,
            "peak_sram_bytes": sram_of(simulated).peak_bytes,
            "reserved_sram_bytes": total.reserved_sram_bytes,
            "commands": len(program.commands),
            "macs": total.macs,
            "vector_ops": total.vector_ops,
            "busiest": total.busiest,
            "bound_by": total.bound_by,
            **({} if estimate.energy_j is None else {"energy_j": estimate.energy_j}),
        },
        "engines": {
            engine: {"busy_s": busy, "utilization": ratio_to(busy, end_s)}
            for engine, busy in busy_times_s(program.commands, rates_of(estimate.hardware)).items()
        },
        "layers": _layers(simulated),
    }


def sram_of(simulated: Simulated) -> Occupancy:
    """The SRAM in use over the run."""
    return occupancy(simulated.program, simulated.timeline)


def ratio_to(part: float, whole: float) -> float:
    """The ratio; 1 of nothing to nothing."""
    return part / whole if whole else 1.0


def _layers(simulated: Simulated) -> list[Record]:
    """One record a layer, in the network's order. A layer without commands starts and ends when its last
    input is there.
    """
    program, timeline, estimate = simulated.program, simulated.timeline, simulated.estimate
    graph, times = estimate.graph, layer_schedules(program, timeline)
    rates, engines, nothing = rates_of(estimate.hardware), engines_of(program), dict.fromkeys(causes_of(program), 0.0)
    commands: dict[str, list[Command]] = {}
    for command in program.commands:
        commands.setdefault(command.layer, []).append(command)
    ready_s, segments = {0: 0.0}, segments_of(estimate.plan)
    records = []
    for operator, row in zip(graph.operators, estimate.layers, strict=True):
        ready = max(ready_s[source] for source in operator.inputs)
        found = times.get(operator.name) or LayerSchedule(ready, ready, nothing)
        ready_s[operator.output] = found.end_s
        records.append(
            {
                "index": operator.index,
                "name": operator.name,
                "type": operator.label,
                "segment": segments[operator.index],
                "start_s": found.start_s,
                "end_s": found.end_s,
                "busy_s": busy_times_s(commands.get(operator.name, ()), rates, engines),
                "wait_s": dict(found.wait_s),
                "serial_time_s": row.time_s,
                "traffic_bytes": row.traffic_bytes,
                "commands": len(commands.get(operator.name, ())),
                **({} if estimate.energies is None else {"energy_j": estimate.energies[operator.index].energy_j}),
            }
        )
    return records


def layer_rows(record: Mapping[str, Any]) -> list[Record]:
    """One flat row a layer: `busy_s` and `wait_s` become a column for each engine and each cause."""
    rows = []
    for layer in record["layers"]:
        flat: Record = {}
        for key, value in layer.items():
            flat |= (
                {f"{key.removesuffix('_s')}_{part}_s": seconds for part, seconds in value.items()}
                if isinstance(value, dict)
                else {key: value}
            )
        rows.append(flat)
    return rows


def total_row(record: Mapping[str, Any]) -> Record:
    """A run in one flat row: its policy, its totals, and the times of each engine."""
    engines = {f"{engine}_{key}": value for engine, found in record["engines"].items() for key, value in found.items()}
    return {"policy": record["policy"], **record["total"], **engines}
