"""The columns of the table of layers: content, unit, and priority where there is little room."""

from collections.abc import Callable, Sequence
from typing import Any

from mnsim.analysis.cost import Estimate
from mnsim.document.blocks import Column, Table
from mnsim.document.model import View
from mnsim.graph.model import Graph
from mnsim.plan.model import Cut, Plan
from mnsim.plan.tiling import tile_counts, what_stays
from mnsim.report.records import ENGINE_TIMES, Record
from mnsim.report.segments import bracketed, cut_cell, how_it_runs, is_fused, segment_cell

_TIME_UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))


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
    return str(layer["output"]["place"]) if address is None else f"{address:,}"


def time_unit(longest_s: float) -> tuple[str, float]:
    """The unit in which the longest time is 10 or more (ns when all are shorter)."""
    return next(((name, scale) for name, scale in _TIME_UNITS if longest_s >= 10 * scale), _TIME_UNITS[-1])


def energy_column(record: Record) -> Column:
    """Microjoules, where the hardware file says energies."""
    joules = [layer["energy_j"] for layer in (*record["layers"], record["total"])]
    *cells, total = (f"{amount * 1e6:,.2f}" for amount in joules)
    return Column("energy uJ", cells, 3, total=total)


def name_column(graph: Graph, plan: Plan, view: View) -> Column:
    """The layers' names, on a screen with brackets around fused segments."""
    return Column("layer", [operator.name for operator in graph.operators] if view == "page" else bracketed(graph, plan), 0, True, "total")


def segment_column(plan: Plan, rank: int) -> tuple[Column, ...]:
    """The fused segment that each layer runs in; no column where there is none."""
    count = len(plan.cuts)
    return (Column("seg", [segment_cell(plan, operator) for operator in range(count)], rank, True),) if is_fused(plan) else ()


def layer_columns(estimate: Estimate, record: Record, view: View) -> tuple[Column, ...]:
    """The columns of the table of layers; the view `more` adds how each layer is cut."""
    layers, totals = record["layers"], record["total"]
    serial_s = totals["serial_time_s"]
    plan = estimate.plan
    unit, scale = time_unit(max(layer["time_s"] for layer in layers))

    def column(heading: str, show: Callable[[Record], str], rank: int, total: str = "", is_text: bool = False) -> Column:
        return Column(heading, tuple(map(show, layers)), rank, is_text, total)

    def count(heading: str, key: str, rank: int, total: int) -> Column:
        return column(heading, lambda layer: f"{layer[key]:,}", rank, f"{total:,}")

    def moved(heading: str, part: str) -> Column:
        key = f"{part}_traffic_bytes"
        return count(heading, key, 9, sum(layer[key] for layer in layers))

    def time(engine: str, key: str, rank: int, total_key: str) -> Column:
        return column(f"{engine} {unit}", lambda layer: f"{layer[key] / scale:,.1f}", rank, f"{totals[total_key] / scale:,.1f}")

    def share(layer: Record) -> str:
        return f"{100 * layer['time_s'] / serial_s:.1f}" if serial_s else "0.0"

    return (
        column("#", lambda layer: str(layer["index"]), 12),
        name_column(estimate.graph, plan, view),
        *segment_column(plan, 11),
        column("type", lambda layer: layer["type"], 6, is_text=True),
        column("window", _window, 10, is_text=True),
        column("output", _shape, 5, is_text=True),
        column("at", _home, 11),
        column("M MACs", lambda layer: f"{layer['macs'] / 1e6:,.3f}", 4, f"{totals['macs'] / 1e6:,.3f}"),
        moved("weights B", "weight"),
        moved("maps in B", "input"),
        moved("maps out B", "output"),
        count("moved B", "traffic_bytes", 2, totals["traffic_bytes"]),
        count("SRAM B", "sram_bytes", 8, totals["reserved_sram_bytes"]),
        *(time(engine, key, 7, key) for engine, key in ENGINE_TIMES.items()),
        time("time", "time_s", 0, "serial_time_s"),
        column("%", share, 3, "100.0"),
        *([energy_column(record)] if estimate.energies is not None else []),
        column("busiest", lambda layer: layer["busiest"] or "", 1, totals["busiest"], True),
        *(_how_cut(plan) if view == "more" else []),
    )


def _how_cut(plan: Plan) -> list[Column]:
    """How each layer's segment runs, and how the layer is cut."""
    segments = {cut.operator: (segment, cut) for segment in plan.segments for cut in segment.cuts}
    own = [segments[operator] for operator in range(len(segments))]
    passes = [Column("pass", [how_it_runs(segment) for segment, _ in own], 4, True)] if is_fused(plan) else []
    cells = [_pieces(cut) if segment.kind == "single" else cut_cell(segment, cut) for segment, cut in own]
    return [*passes, Column("cut", cells, 4, True)]


def _pieces(cut: Cut) -> str:
    """How a layer is cut: strips x output blocks x input blocks and the operand that stays, if one does;
    empty for one tile.
    """
    counts, stays = tile_counts(cut.geometry, cut.tiling), what_stays(cut.geometry, cut.tiling)
    if max(counts) == 1:
        return ""
    held = f", {stays} stay{'' if stays == 'weights' else 's'}" if stays else ""
    return f"{'x'.join(map(str, counts))}{held}"


def type_table(record: Record) -> Table:
    """Shares by type of layer, the slowest type first."""
    types: dict[str, dict[str, Any]] = {}
    keys = ("macs", "parameters", "traffic_bytes", "time_s")
    for layer in record["layers"]:
        row = types.setdefault(layer["type"], dict.fromkeys(("layers", *keys), 0))
        row["layers"] += 1
        for key in keys:
            row[key] += layer[key]
    ordered = dict(sorted(types.items(), key=lambda each: -each[1]["time_s"]))
    rows = list(ordered.values())
    headings = ("MACs %", "parameters %", "moved %", "time %")
    shares = (Column(heading, _shares([row[key] for row in rows])) for heading, key in zip(headings, keys, strict=True))
    counts = Column("layers", [str(row["layers"]) for row in rows])
    return Table((Column("type", list(ordered), is_text=True), counts, *shares), narrower=Table(()))


def _shares(amounts: Sequence[float]) -> list[str]:
    total = sum(amounts)
    return [f"{100 * amount / total:.1f}" if total else "0.0" for amount in amounts]
