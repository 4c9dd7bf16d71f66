"""An estimate as plain data: the record of `mnsim analyze`, and a flat row a layer. The names are a public
contract.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from operator import getitem
from typing import Any

from mnsim.analysis.cost import Estimate, LayerCost
from mnsim.analysis.rings import maps_in, rows_in_ring
from mnsim.document.model import Rows, Values
from mnsim.graph.model import Graph, Operator
from mnsim.operators.quantities import Quantity
from mnsim.plan.model import Buffer, Cut, Home, Plan, Segment, lifetime, segments_of
from mnsim.plan.tiling import what_stays
from mnsim.report.segments import place_of
from mnsim.spec.records import BUS, MATRIX, VECTOR, Hardware

Record = dict[str, Any]
ENGINE_TIMES = {BUS: "transfer_time_s", MATRIX: "matrix_time_s", VECTOR: "vector_time_s"}  # the key of each engine's time


def rows_of(records: Sequence[Record], names: Sequence[str] = ()) -> Rows:
    """Flat records as rows, in the columns of the first record unless others are named."""
    columns = tuple(names or records[0])

    def parts(size: int) -> Iterator[list[Values]]:
        for first in range(0, len(records), size):
            part = records[first : first + size]
            yield [Values([record.get(name) for record in part]) for name in columns]

    return Rows(columns, parts)


def as_dict(estimate: Estimate) -> Record:
    """The estimate as dictionaries, lists, numbers and strings. Shapes are [height, width, channels];
    a map in external
    memory or in a ring has no address (null).
    """
    return {
        "network": network_record(estimate),
        "hardware": hardware_record(estimate),
        "layers": [_layer_record(estimate, row) for row in estimate.layers],
        "total": {**asdict(estimate.total), **({} if estimate.energy_j is None else {"energy_j": estimate.energy_j})},
        "plan": _plan_record(estimate),
    }


def network_record(estimate: Estimate) -> Record:
    """The network and its multipliers."""
    graph = estimate.graph
    return {
        "name": graph.name,
        "alpha": float(graph.alpha),
        "rho": float(graph.rho),
        "dtype": graph.dtype,
        "input_shape": list(graph.maps[0].shape),
    }


def hardware_record(estimate: Estimate) -> Record:
    """The hardware with its settings."""
    return hardware_fields(estimate.hardware)


def hardware_fields(hardware: Hardware) -> Record:
    """A piece of hardware; energies only where its file has them."""
    record = asdict(hardware)
    if record["energies"] is None:
        del record["energies"]
    for unit in (MATRIX, VECTOR):
        record[unit]["efficiency"] = dict(record[unit]["efficiency"])
    more, further = record.pop("more"), record.pop("further")
    if further:
        record["further"] = [{key: value for key, value in each.items() if (key, value) != ("j_per_byte", None)} for each in further]
    return {**record, "fused": list(record["fused"]), **dict(more)}


def number_of(machine: Record, quantity: Quantity) -> Any:
    """A quantity of a piece of hardware, from its record."""
    return reduce(getitem, (quantity.field or quantity.column).split("."), machine)


def _map_record(estimate: Estimate, index: int) -> Record:
    feature_map, home = estimate.graph.maps[index], estimate.plan.homes[index]
    return {
        "name": feature_map.name,
        "shape": list(feature_map.shape),
        "bytes": feature_map.size_bytes,
        "address": home.address,
        "place": place_of(home),
    }


def _layer_record(estimate: Estimate, row: LayerCost) -> Record:
    operator = estimate.graph.operators[row.index]
    return {
        "index": row.index,
        "name": operator.name,
        "type": operator.label,
        "segment": segments_of(estimate.plan)[row.index],
        "stride": _window_part(operator, "stride"),
        "kernel": _window_part(operator, "kernel"),
        "inputs": [_map_record(estimate, source) for source in operator.sources],
        "output": _map_record(estimate, operator.output),
        "macs": row.macs,
        "vector_ops": row.vector_ops,
        "parameters": row.parameters,
        "weight_bytes": row.weight_bytes,
        "weight_traffic_bytes": row.traffic.weight_bytes,
        "input_traffic_bytes": row.traffic.input_bytes,
        "output_traffic_bytes": row.traffic.output_bytes,
        "traffic_bytes": row.traffic_bytes,
        "sram_bytes": row.sram_bytes,
        "transfer_time_s": row.transfer_time_s,
        "matrix_time_s": row.matrix_time_s,
        "vector_time_s": row.vector_time_s,
        "time_s": row.time_s,
        "busiest": row.busiest,
        **({} if estimate.energies is None else {"energy_j": estimate.energies[row.index].energy_j}),
    }


def _window_part(operator: Operator, part: str) -> list[int] | None:
    return None if operator.window is None else list(getattr(operator.window, part))


def _plan_record(estimate: Estimate) -> Record:
    """The plan: each map's home over its layers (first and last included), and each segment."""
    graph, plan = estimate.graph, estimate.plan
    names = [operator.name for operator in graph.operators]

    def home_record(name: str, home: Home) -> Record:
        first, last = (names[index] for index in lifetime(plan, home))
        return {"name": name, "address": home.address, "place": place_of(home), "first_layer": first, "last_layer": last}

    return {
        "policy": plan.policy,
        **exactness_record(plan),
        "homes": [home_record(feature_map.name, home) for feature_map, home in zip(graph.maps, plan.homes, strict=True)],
        "segments": [_segment_record(graph, segment) for segment in plan.segments],
    }


def _segment_record(graph: Graph, segment: Segment) -> Record:
    """A segment. `tiling` is that of a layer that runs alone, and null where each layer has its own, in
    `cuts`; `order` is null but for a rows pass.
    """
    cuts = [_cut_record(graph, cut) for cut in segment.cuts]
    return {
        "layers": [cut["layer"] for cut in cuts],
        "kind": segment.kind,
        "order": segment.order if segment.kind == "rows" else None,
        "tiling": cuts[0]["tiling"] if segment.kind == "single" else None,
        "cuts": cuts,
        "buffers": [_buffer_record(graph, segment, buffer) for buffer in segment.buffers],
    }


def _cut_record(graph: Graph, cut: Cut) -> Record:
    """A layer's tiling, whose `stays` is null where no operand is held while another passes, and the maps
    that it loads into rings, or whole, and stores whole.
    """
    return {
        "layer": graph.operators[cut.operator].name,
        "tiling": {**asdict(cut.tiling), "stays": what_stays(cut.geometry, cut.tiling)},
        "streams": [{"map": graph.maps[stream.map].name, "rows": stream.rows, "lead": stream.lead} for stream in cut.streams],
        "loads_whole": [graph.maps[index].name for index in cut.loads_whole],
        "stores_whole": [graph.maps[index].name for index in cut.stores_whole],
    }


def _buffer_record(graph: Graph, segment: Segment, buffer: Buffer) -> Record:
    """A buffer and the layer that it belongs to; the maps that pass through it, and a ring's rows."""
    storage = buffer.storage
    return {
        "name": buffer.name,
        "address": buffer.address,
        "size_bytes": buffer.size_bytes,
        "layer": graph.operators[buffer.operator].name,
        "maps": [] if storage is None else [graph.maps[index].name for index in maps_in(graph, segment, storage)],
        "rows": rows_in_ring(graph, segment, buffer),
    }


def exactness_record(plan: Plan) -> Record:
    """Whether the plan is proved to move the fewest bytes of those that the planner chose from, how many
    fewer it could be at most, and how many ways the search dropped before their end.
    """
    return {"exact": plan.exact, "at_most_fewer_bytes": plan.at_most_fewer_bytes, "dropped_ways": plan.dropped_ways}


def flat_rows(record: Mapping[str, Any]) -> list[Record]:
    """One flat row a layer: a shape is 28x28x3, several inputs are joined with `;`, a map in external memory
    or in a ring has no address.
    """
    rows = []
    for layer in record["layers"]:
        flat: Record = {}
        for key, value in layer.items():
            if key == "inputs":
                flat |= _flat_maps("input", value)
            elif key == "output":
                flat |= _flat_maps("output", [value])
            else:
                flat[key] = "x".join(map(str, value)) if isinstance(value, list) else value
        rows.append(flat)
    return rows


def _flat_maps(prefix: str, maps: list[Record]) -> Record:
    def joined(values: list[Any]) -> Any:
        return values[0] if len(values) == 1 else ";".join("" if value is None else str(value) for value in values)

    return {
        prefix: joined([each["name"] for each in maps]),
        f"{prefix}_shape": joined(["x".join(map(str, each["shape"])) for each in maps]),
        f"{prefix}_bytes": joined([each["bytes"] for each in maps]),
        f"{prefix}_address": joined([each["address"] for each in maps]),
        f"{prefix}_place": joined([each["place"] for each in maps]),
    }
