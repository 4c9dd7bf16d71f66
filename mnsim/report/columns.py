"""The columns of the tables that people read: what each shows, in which unit, and which are kept when there is little room."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mnsim.interpreters.cost import Estimate
from mnsim.plan.model import Cut, cuts_of
from mnsim.plan.tiling import tile_counts, what_stays
from mnsim.report.records import Record

_TIME_UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, how a layer's record fills it, how the totals do, and its rank (the last go first when room is short)."""

    heading: str
    cell: Callable[[Record], str]
    total: Callable[[Record], str]
    rank: int
    is_text: bool = False


def _nothing(total: Record) -> str:
    return ""


def _count(key: str) -> Callable[[Record], str]:
    return lambda record: f"{record[key]:,}"


def _millions(count: int) -> str:
    return f"{count / 1e6:,.3f}"


def _window(layer: Record) -> str:
    if layer["kernel"] is None:
        return ""
    stride = layer["stride"]
    step = str(stride[0]) if stride[0] == stride[1] else "x".join(map(str, stride))
    return "x".join(map(str, layer["kernel"])) + f" /{step}"


def _shape(layer: Record) -> str:
    return "x".join(map(str, layer["output"]["shape"]))


def _home(layer: Record) -> str:
    address = layer["output"]["address"]
    return "external" if address is None else f"{address:,}"


def time_unit(longest_s: float) -> tuple[str, float]:
    """The unit in which the longest time is a number from 10 on (ns when all are shorter)."""
    return next(((name, scale) for name, scale in _TIME_UNITS if longest_s >= 10 * scale), _TIME_UNITS[-1])


def energy_column() -> Column:
    """Microjoules, where the hardware file says energies."""
    return Column("energy uJ", lambda layer: f"{layer['energy_j'] * 1e6:,.2f}", lambda total: f"{total['energy_j'] * 1e6:,.2f}", 3)


def layer_columns(estimate: Estimate, verbose: bool = False) -> list[Column]:
    """The columns of the table of layers; `verbose` adds how each layer is cut."""
    serial_s = estimate.total.serial_time_s
    unit, scale = time_unit(max(row.time_s for row in estimate.layers))

    def time(key: str, total_key: str) -> tuple[Callable[[Record], str], Callable[[Record], str]]:
        return lambda layer: f"{layer[key] / scale:,.1f}", lambda total: f"{total[total_key] / scale:,.1f}"

    def share(layer: Record) -> str:
        return f"{100 * layer['time_s'] / serial_s:.1f}" if serial_s else "0.0"

    def moved(part: str) -> tuple[Callable[[Record], str], Callable[[Record], str]]:
        key = f"{part}_traffic_bytes"
        rows_sum = sum(getattr(row.traffic, f"{part}_bytes") for row in estimate.layers)
        return _count(key), lambda total: f"{rows_sum:,}"

    columns = [
        Column("#", lambda layer: str(layer["index"]), _nothing, 12),
        Column("layer", lambda layer: layer["name"], lambda total: "total", 0, True),
        Column("type", lambda layer: layer["type"], _nothing, 6, True),
        Column("window", _window, _nothing, 10, True),
        Column("output", _shape, _nothing, 5, True),
        Column("at", _home, _nothing, 11),
        Column("M MACs", lambda layer: _millions(layer["macs"]), lambda total: _millions(total["macs"]), 4),
        Column("weights B", *moved("weight"), 9),
        Column("maps in B", *moved("input"), 9),
        Column("maps out B", *moved("output"), 9),
        Column("moved B", _count("traffic_bytes"), _count("traffic_bytes"), 2),
        Column("SRAM B", _count("sram_bytes"), _count("reserved_sram_bytes"), 8),
        Column(f"bus {unit}", *time("transfer_time_s", "transfer_time_s"), 7),
        Column(f"matrix {unit}", *time("matrix_time_s", "matrix_time_s"), 7),
        Column(f"vector {unit}", *time("vector_time_s", "vector_time_s"), 7),
        Column(f"time {unit}", *time("time_s", "serial_time_s"), 0),
        Column("%", share, lambda total: "100.0", 3),
        *([energy_column()] if estimate.energies is not None else []),
        Column("busiest", lambda layer: layer["busiest"] or "", lambda total: total["busiest"], 1, True),
    ]
    if not verbose:
        return columns
    cuts = cuts_of(estimate.plan)
    return [*columns, Column("cut", lambda layer: _pieces(cuts[layer["index"]]), _nothing, 4, True)]


def _pieces(cut: Cut) -> str:
    """How a layer is cut: strips x output blocks x input blocks and what stays, if anything does; empty for one tile."""
    counts, stays = tile_counts(cut.geometry, cut.tiling), what_stays(cut.geometry, cut.tiling)
    if max(counts) == 1:
        return ""
    held = f", {stays} stay{'' if stays == 'weights' else 's'}" if stays else ""
    return f"{'x'.join(map(str, counts))}{held}"


def type_rows(record: Record) -> tuple[list[str], list[list[str]]]:
    """Shares by type of layer: headings and rows, the type that takes most time first."""
    types: dict[str, dict[str, Any]] = {}
    keys = ("macs", "parameters", "traffic_bytes", "time_s")
    for layer in record["layers"]:
        row = types.setdefault(layer["type"], dict.fromkeys(("layers", *keys), 0))
        row["layers"] += 1
        for key in keys:
            row[key] += layer[key]
    totals = {key: sum(row[key] for row in types.values()) for key in keys}
    ordered = sorted(types, key=lambda name: -types[name]["time_s"])
    headings = ["type", "layers", "MACs %", "parameters %", "moved %", "time %"]
    return headings, [[name, str(types[name]["layers"]), *_shares(types[name], totals, keys)] for name in ordered]


def _shares(row: dict[str, Any], totals: dict[str, Any], keys: Sequence[str]) -> list[str]:
    return [f"{100 * row[key] / totals[key]:.1f}" if totals[key] else "0.0" for key in keys]
