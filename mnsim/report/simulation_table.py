"""A simulated run for a terminal: the layers with what they waited for, the engines over time, and the sentences."""

from collections.abc import Callable, Sequence

from mnsim.pipeline import Simulated
from mnsim.program.model import ENGINES, EngineName, engine_of
from mnsim.report.chart import axis, engine_rows, layer_bar, sram_row
from mnsim.report.columns import Column, energy_column, time_unit
from mnsim.report.records import Record
from mnsim.report.simulation import simulation_record, sram_of, total_row
from mnsim.report.table import fitted, render
from mnsim.report.text import to_aligned, to_markdown
from mnsim.report.words import ENGINE_WORDS, headline, taken_out
from mnsim.units import format_scaled

MOST_COLUMNS, LEAST_BAR, WIDE_BAR = 120, 12, 48
_ROUNDING = 1e-9  # of sums of durations, in another order


def simulation_table(simulated: Simulated, width: int, color: bool, verbosity: int = 0) -> str:
    """The table of layers, the charts and the sentences; verbosity -1 gives the table alone."""
    record = simulation_record(simulated)
    columns = _columns(record, verbosity > 0)
    taken = sum(max(len(column.heading), *(len(column.cell(layer)) for layer in record["layers"])) + 2 for column in columns)
    bar = min(MOST_COLUMNS, max(LEAST_BAR, width - taken))
    columns.append(_when(simulated, bar))
    table, hidden = fitted(columns, record["layers"], record["total"], width)
    if verbosity < 0:
        return render([table], width, color)
    note = ["(when: ─ mostly on the bus, █ mostly computing)"] if bar <= WIDE_BAR else []
    note += [f"({hidden} more columns in a wider terminal; every figure: --format csv)"] if hidden else []
    note = [*(taken_out(simulated.estimate.graph) if verbosity > 0 else ()), *note]
    charts = charts_of(simulated, record, min(MOST_COLUMNS, width))
    words = "\n".join([*simulation_sentences(record), *note])
    return render([headline(simulated.estimate, record["total"]["peak_sram_bytes"]), table, charts, words], width, color)


def _columns(record: Record, verbose: bool = False) -> list[Column]:
    """The figures of a layer; `verbose` tells the three engines apart that it waits for. Waits of queues overlap: no sum over layers."""
    unit, scale = time_unit(record["total"]["simulated_time_s"])

    def time(read: Callable[[Record], float]) -> Callable[[Record], str]:
        return lambda layer: f"{read(layer) / scale:,.1f}"

    def summed(read: Callable[[Record], float]) -> Callable[[Record], str]:
        return lambda total: f"{sum(map(read, record['layers'])) / scale:,.1f}"

    def nothing(total: Record) -> str:
        return ""

    def column(heading: str, read: Callable[[Record], float], rank: int) -> Column:
        return Column(f"{heading} {unit}", time(read), summed(read), rank)

    def wait(heading: str, *causes: str) -> Column:
        return Column(heading, time(lambda layer: sum(layer["wait_s"][cause] for cause in causes)), nothing, 3)

    engines = [wait(f"{engine} queue", engine) for engine in ENGINES] if verbose else [wait("engine", *ENGINES)]

    columns = [
        Column("#", lambda layer: str(layer["index"]), nothing, 9),
        Column("layer", lambda layer: layer["name"], lambda total: "total", 0, True),
        Column("type", lambda layer: layer["type"], nothing, 6, True),
        Column(f"start {unit}", time(lambda layer: layer["start_s"]), nothing, 2),
        Column(f"end {unit}", time(lambda layer: layer["end_s"]), lambda total: f"{total['simulated_time_s'] / scale:,.1f}", 1),
        *(column(engine, lambda layer, engine=engine: layer["busy_s"][engine], 5) for engine in ENGINES),  # type: ignore[misc]
        wait("wait: data", "data"),
        wait("room", "room"),
        *engines,
        Column("moved B", lambda layer: f"{layer['traffic_bytes']:,}", lambda total: f"{total['traffic_bytes']:,}", 8),
    ]
    if "energy_j" in record["total"]:
        columns.append(energy_column())
    return columns


def _when(simulated: Simulated, columns: int) -> Column:
    """A bar for each layer: on the bus, or computing."""
    program, timeline, end_s = simulated.program, simulated.timeline, simulated.timeline.end_s
    intervals: dict[str, list[tuple[float, float, EngineName]]] = {}
    for command in program.commands:
        times = timeline.starts_s[command.id], timeline.ends_s[command.id], engine_of(command)
        intervals.setdefault(command.layer, []).append(times)
    heading = "when (─ mostly on the bus, █ mostly computing)" if columns > WIDE_BAR else "when"
    return Column(heading, lambda layer: layer_bar(intervals.get(layer["name"], ()), end_s, columns), lambda total: "", 4, True)


def charts_of(simulated: Simulated, record: Record, width: int) -> str:
    """A line for each engine and one for the SRAM, over the run, with its share or peak behind."""
    program, timeline, estimate = simulated.program, simulated.timeline, simulated.estimate
    sram, capacity = sram_of(simulated), estimate.hardware.sram_capacity_bytes
    columns = max(10, width - len("matrix  ") - len("  100.0 % peak"))
    engines = engine_rows(program, timeline, columns)
    lines = [f"{engine:<8}{engines[engine]}  {100 * record['engines'][engine]['utilization']:5.1f} % busy" for engine in ENGINES]
    lines.append(f"{'SRAM':<8}{sram_row(sram, capacity, columns, timeline.end_s)}  {100 * sram.peak_bytes / capacity:5.1f} % peak")
    lines.append(f"{'':8}{axis(timeline.end_s, columns, *time_unit(timeline.end_s))}")
    return "\n".join(lines)


def simulation_sentences(record: Record) -> tuple[str, ...]:
    """How long it takes, beside the bounds and one thing at a time; which engine is busiest, and what the commands waited for."""
    total, engines = record["total"], record["engines"]
    end_s = total["simulated_time_s"]
    bounds = f"{total['simulated_to_bound']:.3f}x the bound for any schedule ({format_scaled(total['bound_time_s'], 's')})"
    if total["capacity_bound_time_s"] > 1.001 * total["bound_time_s"]:
        bounds += (
            f", {total['simulated_to_capacity_bound']:.3f}x the one for this SRAM and order of layers "
            f"({format_scaled(total['capacity_bound_time_s'], 's')})"
        )
    first = total["busiest"]
    others = sorted((engine for engine in engines if engine != first), key=lambda engine: -engines[engine]["busy_s"])
    rest = " and ".join(f"{ENGINE_WORDS[engine]} {100 * engines[engine]['utilization']:.1f} %" for engine in others)
    sentences = [
        f"It takes {format_scaled(end_s, 's')}, policy {record['policy']}: {bounds}.",
        _against_serial(record),
        f"Busiest is {ENGINE_WORDS[first]}, {100 * engines[first]['utilization']:.1f} % of the time; {rest}.",
    ]
    if "energy_j" in total:
        sentences.append(f"It takes {format_scaled(total['energy_j'], 'J')}, {format_scaled(total['energy_j'] / end_s, 'W')} on average.")
    return tuple(sentences)


def _against_serial(record: Record) -> str:
    """Policy serial beside this run: the plan that is best one thing at a time, not the same commands in a row."""
    total = record["total"]
    end_s, serial_s = total["simulated_time_s"], total["serial_policy_time_s"]
    if record["policy"] == "serial":
        return "One thing at a time: nothing overlaps (--policy overlap)."
    taken = f"One thing at a time (--policy serial) it takes {format_scaled(serial_s, 's')}"
    if serial_s >= end_s * (1 - _ROUNDING):
        return f"{taken}: {serial_s / end_s if end_s else 1:.2f}x that."
    machine = record["hardware"]
    overheads = machine["external_latency_s"], machine["matrix"]["launch_overhead_s"], machine["vector"]["launch_overhead_s"]
    why = ": latency and launch overhead cost more than overlap gains" if any(overheads) else ""
    return f"{taken}, which is less{why}. Use --policy serial."


def simulation_markdown(simulated: Simulated) -> str:
    """The full table of layers with its totals, and the sentences."""
    record = simulation_record(simulated)
    columns = _columns(record)
    rows = [[column.cell(layer) for column in columns] for layer in record["layers"]]
    rows.append([column.total(record["total"]) for column in columns])
    layers = to_markdown([column.heading for column in columns], rows, [column.is_text for column in columns])
    words = "".join(f"- {sentence}\n" for sentence in simulation_sentences(record))
    return f"{headline(simulated.estimate, record['total']['peak_sram_bytes']).replace(chr(10), '; ')}\n\n{layers}\n{words}"


def comparison_text(records: Sequence[Record], is_markdown: bool) -> str:
    """Runs side by side: a row for each figure, a column for each run."""
    rows = [total_row(record) for record in records]
    lines = [[key, *(_figure(key, row[key]) for row in rows)] for key in rows[0] if key != "policy"]
    aligned = to_markdown if is_markdown else to_aligned
    return aligned(["figure", *(row["policy"] for row in rows)], lines, [True] + [False] * len(rows))


def _figure(key: str, value: float | str) -> str:
    if isinstance(value, str):
        return value
    if key.endswith("_s"):
        return format_scaled(value, "s")
    if key.endswith("_j"):
        return format_scaled(value, "J")
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
