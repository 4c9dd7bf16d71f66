"""`mnsim simulate`: the layers with their waits, the engines over time, the sentences; runs side by side."""

from collections.abc import Callable, Sequence

from mnsim.document.blocks import Bars, Block, Busy, Chart, Column, Headline, Interval, Steps, Table, Words
from mnsim.document.model import Document, View
from mnsim.operators.quantities import OVERHEADS
from mnsim.pipeline import Simulated
from mnsim.program.model import ENGINES, EngineName, Matrix, Vector, engine_of
from mnsim.report.candidates import candidate_table, choice_words
from mnsim.report.columns import energy_column, name_column, segment_column, time_unit
from mnsim.report.records import Record, number_of, rows_of
from mnsim.report.segments import segment_words
from mnsim.report.simulation import layer_rows, simulation_record, sram_of, total_row
from mnsim.report.words import engine_words, headline, idle_memories, not_exact, taken_out
from mnsim.units import format_scaled

_ROUNDING = 1e-9  # of sums of durations, in another order


def simulation_document(simulated: Simulated) -> Document:
    """The table of layers, the charts and the sentences."""

    def record() -> Record:
        return simulation_record(simulated)

    return Document(record, lambda: rows_of(layer_rows(record())), lambda view: _blocks(simulated, record(), view))


def comparison_document(runs: Sequence[Simulated]) -> Document:
    """Runs side by side: a row for each figure, a column for each run."""
    records = [simulation_record(simulated) for simulated in runs]
    rows = [total_row(record) for record in records]
    keys = [key for key in rows[0] if key != "policy"]
    columns = (Column(row["policy"], [_figure(key, row[key]) for key in keys]) for row in rows)
    table = Table((Column("figure", keys, is_text=True), *columns))
    idle = _idle(runs[0])
    return Document(
        lambda: {"policies": {record["policy"]: record for record in records}},
        lambda: rows_of(rows),
        lambda view: [table, Words(idle)] if idle and view != "bare" else [table],
    )


def _blocks(simulated: Simulated, record: Record, view: View) -> Sequence[Block]:
    layers = Table(
        _columns(simulated, record, view),
        has_totals=True,
        bars=_bars(simulated, record) if view != "page" else None,
        elsewhere="--format csv",
    )
    if view == "bare":
        return [layers]
    lines = Headline(headline(simulated.estimate, record["total"]["peak_sram_bytes"]))
    more = (*not_exact(simulated.estimate.plan), *taken_out(simulated.estimate.graph)) if view == "more" else ()
    choice = simulated.choice
    tables = [candidate_table(choice)] if choice is not None and len(choice.tried) > 1 and view == "more" else []
    fused = segment_words(simulated.estimate.plan, "column seg" if view == "page" else "in brackets")
    words = (*simulation_sentences(record), *choice_words(choice), *fused, *_idle(simulated), *more)
    return [lines, layers, _chart(simulated, record), *tables, Words(words, are_items=True)]


def _idle(simulated: Simulated) -> tuple[str, ...]:
    return idle_memories(simulated.estimate.hardware, simulated.program.memories)


def _columns(simulated: Simulated, record: Record, view: View) -> tuple[Column, ...]:
    """The figures of a layer; the view `more` tells the engines apart that it waits for. Waits of queues
    overlap: no sum over layers.
    """
    plan = simulated.estimate.plan
    layers, total, engines = record["layers"], record["total"], record["engines"]
    unit, scale = time_unit(total["simulated_time_s"])

    def time(heading: str, read: Callable[[Record], float], rank: int, total_s: float | None = None) -> Column:
        total = "" if total_s is None else f"{total_s / scale:,.1f}"
        return Column(heading, [f"{read(layer) / scale:,.1f}" for layer in layers], rank, total=total)

    def busy(engine: EngineName) -> Column:
        return time(f"{engine} {unit}", lambda layer: layer["busy_s"][engine], 5, sum(layer["busy_s"][engine] for layer in layers))

    def wait(heading: str, *causes: str) -> Column:
        return time(heading, lambda layer: sum(layer["wait_s"][cause] for cause in causes), 3)

    return (
        Column("#", [str(layer["index"]) for layer in layers], 9),
        name_column(simulated.estimate.graph, plan, view),
        *segment_column(plan, 9),
        Column("type", [layer["type"] for layer in layers], 6, True),
        time(f"start {unit}", lambda layer: layer["start_s"], 2),
        time(f"end {unit}", lambda layer: layer["end_s"], 1, total["simulated_time_s"]),
        *map(busy, engines),
        wait("wait: data", "data"),
        wait("room", "room"),
        *([wait(f"{engine} queue", engine) for engine in engines] if view == "more" else [wait("engine", *engines)]),
        Column("moved B", [f"{layer['traffic_bytes']:,}" for layer in layers], 8, total=f"{total['traffic_bytes']:,}"),
        *([energy_column(record)] if "energy_j" in total else []),
    )


def _bars(simulated: Simulated, record: Record) -> Bars:
    """When each layer is on the bus, or computes."""
    program, timeline = simulated.program, simulated.timeline
    intervals: dict[str, list[Interval]] = {layer["name"]: [] for layer in record["layers"]}
    for command in program.commands:
        is_thick = isinstance(command, Matrix | Vector)
        intervals[command.layer].append(Interval(timeline.starts_s[command.id], timeline.ends_s[command.id], is_thick))
    return Bars("when", list(intervals.values()), timeline.end_s, 4, "mostly on the bus", "mostly computing")


def _chart(simulated: Simulated, record: Record) -> Chart:
    """A track for each engine and one for the SRAM, over the run, with its share or peak behind."""
    timeline, sram, capacity = simulated.timeline, sram_of(simulated), simulated.estimate.hardware.sram_capacity_bytes
    busy: dict[EngineName, list[Interval]] = {engine: [] for engine in record["engines"]}
    for command in simulated.program.commands:
        busy[engine_of(command)].append(Interval(timeline.starts_s[command.id], timeline.ends_s[command.id]))
    shares = {engine: 100 * found["utilization"] for engine, found in record["engines"].items()}
    tracks = (Busy(engine, intervals, f"{shares[engine]:5.1f} % busy") for engine, intervals in busy.items())
    peak = Steps("SRAM", sram.times_s, sram.in_use_bytes, capacity, f"{100 * sram.peak_bytes / capacity:5.1f} % peak")
    return Chart((*tracks, peak), timeline.end_s, *time_unit(timeline.end_s))


def simulation_sentences(record: Record) -> tuple[str, ...]:
    """The run's time beside the bounds and policy serial, the busiest engine, and the causes of waiting."""
    total, engines = record["total"], record["engines"]
    end_s = total["simulated_time_s"]
    any_schedule_s, in_order_s = total["any_schedule_bound_time_s"], total["capacity_bound_time_s"]
    bounds = f"{total['simulated_to_any_schedule_bound']:.3f}x the bound for any schedule ({format_scaled(any_schedule_s, 's')})"
    if in_order_s > 1.001 * any_schedule_s:
        in_order = f"the one for this plan's segments in their order ({format_scaled(in_order_s, 's')})"
        bounds += f", {total['simulated_to_capacity_bound']:.3f}x {in_order}"
    further = (engine for engine in engines if engine not in ENGINES)
    first = max((total["busiest"], *further), key=lambda engine: engines[engine]["busy_s"])
    others = sorted((engine for engine in engines if engine != first), key=lambda engine: -engines[engine]["busy_s"])
    rest = " and ".join(f"{engine_words(engine)} {100 * engines[engine]['utilization']:.1f} %" for engine in others)
    sentences = [
        f"It takes {format_scaled(end_s, 's')}, policy {record['policy']}: {bounds}.",
        _against_serial(record),
        f"Busiest is {engine_words(first)}, {100 * engines[first]['utilization']:.1f} % of the time; {rest}.",
    ]
    if "energy_j" in total:
        sentences.append(f"It takes {format_scaled(total['energy_j'], 'J')}, {format_scaled(total['energy_j'] / end_s, 'W')} on average.")
    return tuple(sentences)


def _against_serial(record: Record) -> str:
    """Policy serial beside this run. Its plan is the best one for serial execution, not this run's commands
    in a row.
    """
    total = record["total"]
    end_s, serial_s = total["simulated_time_s"], total["serial_policy_time_s"]
    if record["policy"] == "serial":
        return "Nothing overlaps; with --policy overlap, transfers run beside computation."
    taken = f"With --policy serial it takes {format_scaled(serial_s, 's')}"
    if serial_s >= end_s * (1 - _ROUNDING):
        return f"{taken}: {serial_s / end_s if end_s else 1:.2f}x that."
    overheads = [number_of(record["hardware"], quantity) for quantity in OVERHEADS]
    why = ": latency and launch overhead cost more than overlap gains" if any(overheads) else ""
    return f"{taken}, which is less{why}. Use --policy serial."


def _figure(key: str, value: float | str) -> str:
    if isinstance(value, str):
        return value
    if key.endswith("_s"):
        return format_scaled(value, "s")
    if key.endswith("_j"):
        return format_scaled(value, "J")
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
