"""A sweep for people: what is going to run; the rows in the columns that tell them apart; and what stands out, in words."""

from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import Any

from mnsim.explore.evaluate import ENGINES
from mnsim.explore.points import Numbers, Points, count_groups, may_share_plans
from mnsim.explore.rows import TEXTS, Rows, bound_counts, failures, least, records, texts
from mnsim.explore.select import MARK, Objective, Selection, first_of
from mnsim.report.columns import Column, time_unit
from mnsim.report.records import Record
from mnsim.report.table import that_fit
from mnsim.report.text import to_aligned, to_markdown
from mnsim.report.words import ENGINE_WORDS, sentence_case
from mnsim.units import format_binary, format_peak, format_scaled

MOST_ROWS = 200  # of a table: more than anybody reads
_MOST_LEVELS = 8  # of an axis in a list

Show = Callable[[Any], str]


def _rate(unit: str) -> Show:
    return lambda value: format_peak(value, unit)


_POINT: dict[str, tuple[str, Show]] = {
    "network": ("network", str),
    "alpha": ("alpha", lambda value: f"{value:.4g}"),
    "rho": ("rho", lambda value: f"{value:.4g}"),
    "dtype": ("dtype", str),
    "policy": ("policy", str),
    "hardware": ("hardware", str),
    "sram_capacity_bytes": ("SRAM", format_binary),
    "external_capacity_bytes": ("external", format_binary),
    "fused": ("fused", str),
    "bus_bandwidth_bytes_per_s": ("bandwidth", _rate("B/s")),
    "external_latency_s": ("latency", _rate("s")),
    "matrix_throughput_per_s": ("matrix", _rate("FLOPS")),
    "matrix_launch_overhead_s": ("matrix launch", _rate("s")),
    "vector_throughput_per_s": ("vector", _rate("FLOPS")),
    "vector_launch_overhead_s": ("vector launch", _rate("s")),
}


def _shown(name: str, value: Any) -> str:
    """A point's value, as a person writes it; empty where there is none."""
    if value is None or value != value:
        return ""
    return _POINT[name][1](value) if name in _POINT else f"{value:.4g}"


def _heading(name: str) -> str:
    return _POINT[name][0] if name in _POINT else name


def listing(points: Points, mode: str, stored: int | None = None) -> str:
    """The axes with their levels, how many points and plans that makes, and how many of them a store has."""
    several = [axis for axis in points.axes if len(axis.levels) > 1 or axis.name in ("network", "hardware")]
    rows = [[axis.name, str(len(axis.levels)), _few(axis.words)] for axis in several]
    table = to_aligned(["axis", "levels", ""], rows, [True, False, True])
    plans = count_groups(points)
    how = {"grid": "every combination", "zip": "side by side", "sample": "a Latin hypercube"}[mode]
    at_most = "at most " if may_share_plans(points) else ""
    counted = f"{points.count:,} {_plural(points.count, 'point')} ({how}), {at_most}{plans:,} {_plural(plans, 'plan')}"
    there = "" if stored is None else f", {stored:,} of the points are in the store"
    return f"{table}\n{counted}{there}\n"


def _few(words: Sequence[str]) -> str:
    shown = ", ".join(words[:_MOST_LEVELS])
    return shown if len(words) <= _MOST_LEVELS else f"{shown}, ... {words[-1]}"


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def sweep_table(rows: Rows, numbers: Numbers, selection: Selection, width: int, verbosity: int = 0, is_file: bool = False) -> str:
    """What all points have in common, the rows in the columns that the width holds, and what stands out.

    Verbosity -1 gives the rows alone, 1 more columns. On a screen, rows beyond MOST_ROWS are counted, unless so many were asked for.
    """
    shown = numbers[:MOST_ROWS] if verbosity >= 0 and selection.top is None and not is_file else numbers
    columns = _columns(rows, shown, verbosity > 0)
    found = records(rows, shown)
    cells = [[column.cell(record) for column in columns] for record in found]
    kept = that_fit(columns, cells or [[""] * len(columns)], width)
    headings = [columns[place].heading for place in kept]
    table = to_aligned(headings, [[line[place] for place in kept] for line in cells], [columns[place].is_text for place in kept])
    if verbosity < 0:
        return table
    words = [_common(rows, numbers), "", table, *sentences(rows, numbers, selection)]
    if len(columns) > len(kept):
        words.append(f"({len(columns) - len(kept)} more columns in a wider terminal; every figure: --format csv)")
    if len(numbers) > len(shown):
        words.append(f"({len(numbers) - len(shown):,} more rows: --top N, --where, or -o FILE.csv)")
    return "".join(f"{line if line is table else fill(line, width)}\n" for line in words)


def sweep_markdown(rows: Rows, numbers: Numbers, selection: Selection) -> str:
    """All rows in the columns that tell them apart, and what stands out."""
    columns = _columns(rows, numbers)
    cells = [[column.cell(record) for column in columns] for record in records(rows, numbers)]
    table = to_markdown([column.heading for column in columns], cells, [column.is_text for column in columns])
    words = "".join(f"- {sentence}\n" for sentence in sentences(rows, numbers, selection))
    return f"{_common(rows, numbers)}\n\n{table}\n{words}"


def _common(rows: Rows, numbers: Numbers) -> str:
    """What is the same in all rows, in a line."""
    counted = f"{len(numbers):,} of {rows.points.count:,} points" if len(numbers) < rows.points.count else f"{rows.points.count:,} points"
    if not len(numbers):
        return counted
    varying, first = rows.columns.varying, records(rows, numbers[:1])[0]
    parts = []
    for name in ("network", "dtype", "policy", "alpha", "rho"):
        if name not in varying:
            parts.append(f"{name} {_shown(name, first[name])}" if name in ("alpha", "rho", "policy") else _shown(name, first[name]))
    machine = [] if "hardware" in varying else [f"on {first['hardware']}"]
    for name in ("bus_bandwidth_bytes_per_s", "sram_capacity_bytes", "matrix_throughput_per_s", "vector_throughput_per_s"):
        if name not in varying and machine:
            heading = {"matrix_throughput_per_s": "matrix ", "vector_throughput_per_s": "vector "}.get(name, "")
            machine.append(f"{heading}{_shown(name, first[name])}{' SRAM' if name == 'sram_capacity_bytes' else ''}")
    return f"{counted}: {', '.join([*parts, *machine])}"


def _columns(rows: Rows, numbers: Numbers, verbose: bool = False) -> list[Column]:
    """The parts of a point that vary, then figures; those of less use go first where there is little room.

    `verbose` adds the length of the program, how long each engine is busy, and the bound for the SRAM.
    """

    def column(heading: str, name: str, show: Show, rank: int, is_text: bool = False) -> tuple[str, Column]:
        return name, Column(heading, lambda record: "" if record[name] is None else show(record[name]), lambda total: "", rank, is_text)

    def time(heading: str, name: str, rank: int) -> tuple[str, Column]:
        return column(f"{heading} {unit}", name, lambda seconds: f"{seconds / scale:,.1f}", rank)

    unit, scale = time_unit((least(rows, "bound_time_s", numbers) if "bound_time_s" in rows.names else None) or 1.0)
    more = [
        column("commands", "commands", "{:,}".format, 10),
        *(time(engine, f"{name}_time_s", 10) for engine, name in (("bus", "transfer"), ("matrix", "matrix"), ("vector", "vector"))),
        time("SRAM bound", "capacity_bound_time_s", 10),
    ]
    found = [
        *(column(_heading(name), name, _telling(rows, name, numbers), 0, name in TEXTS) for name in rows.columns.varying),
        column("M MACs", "macs", lambda count: f"{count / 1e6:,.1f}", 6),
        column("parameters", "parameters", "{:,}".format, 9),
        column("moved B", "traffic_bytes", "{:,}".format, 5),
        column("SRAM peak B", "peak_sram_bytes", "{:,}".format, 8),
        time("serial", "serial_time_s", 7),
        *(more if verbose else []),
        time("simulated", "simulated_time_s", 1),
        ("simulated_time_s", Column("x bound", _to_bound, lambda total: "", 4)),
        time("bound", "bound_time_s", 3),
        column("by", "bound", str, 2, True),
        column("energy uJ", "energy_j", lambda joules: f"{joules * 1e6:,.2f}", 4),
    ]
    if least(rows, "published_accuracy", numbers) is not None:
        found.append(column("accuracy", "published_accuracy", lambda share: f"{100 * share:.1f} %", 3))
    if MARK in rows.flags:
        found.append(column("front", MARK, lambda is_on: "*" if is_on else "", 1, True))
    if any(text is not None for text in texts(rows, "error", numbers).tolist()):
        found += [column("error", "error", lambda text: text.partition(":")[0], 1, True)]
        found += [column("why", "error", lambda text: text.partition(": ")[2], 9, True)]
    return [each for name, each in found if name in rows.names]


def _telling(rows: Rows, name: str, numbers: Numbers) -> Show:
    """How a part of a point is shown: shortly, unless levels that differ would look alike."""
    values = {record[name] for record in records(rows, numbers, [name])} - {None}
    if name in TEXTS or len({_shown(name, value) for value in values}) == len(values):
        return lambda value: _shown(name, value)
    return lambda value: f"{value:,}" if isinstance(value, int) else repr(value)


def _to_bound(record: Record) -> str:
    return f"{record['simulated_time_s'] / record['bound_time_s']:.3f}" if record["bound_time_s"] else ""


def sentences(rows: Rows, numbers: Numbers, selection: Selection) -> list[str]:
    """Fastest and slowest, what bounds, the front."""
    if not rows.time_names:
        return []
    return [*_extremes(rows, numbers), *_bounds(rows, numbers), *_front(rows, numbers, selection)]


def _extremes(rows: Rows, numbers: Numbers) -> list[str]:
    name = "simulated_time_s" if "simulated_time_s" in rows.names else "serial_time_s"
    fastest, slowest = first_of(rows, Objective(name, "min"), numbers), first_of(rows, Objective(name, "max"), numbers)
    if fastest is None or slowest is None or fastest == slowest:
        return []
    shortest, longest = float(rows.times[name][fastest]), float(rows.times[name][slowest])
    varying = rows.columns.varying
    best = f"Fastest: {_where(rows, fastest, varying)}: {format_scaled(shortest, 's')}"
    worst = f"slowest: {_where(rows, slowest, varying)}: {format_scaled(longest, 's')}, {longest / shortest:.4g}x that"
    return [f"{best}; {worst}."]


def _where(rows: Rows, number: int, varying: Sequence[str]) -> str:
    record: Mapping[str, Any] = records(rows, [number], rows.point_names)[0]
    return ", ".join(f"{_heading(name)} {_shown(name, record[name]) or 'none'}" for name in varying)


def _bounds(rows: Rows, numbers: Numbers) -> list[str]:
    counts = bound_counts(rows, numbers)
    there = sorted((engine for engine in ENGINES if counts[engine]), key=lambda engine: -counts[engine])
    if not there:
        return []
    first, *others = there
    rest = "".join(f", {ENGINE_WORDS[engine]} {counts[engine]:,}" for engine in others)
    bounds = f"{sentence_case(ENGINE_WORDS[first])} bounds {counts[first]:,} of {sum(counts.values()):,} points{rest}."
    return [bounds if others else f"{sentence_case(ENGINE_WORDS[first])} bounds every point."]


def _front(rows: Rows, numbers: Numbers, selection: Selection) -> list[str]:
    if MARK not in rows.flags:
        return []
    marked, here = int(rows.flags[MARK].sum()), int(rows.flags[MARK][numbers].sum())
    goals = " and ".join(f"{'more' if each.sense == 'max' else 'less'} {each.column}" for each in selection.objectives)
    if not marked:
        return []
    front = "1 point is" if marked == 1 else f"{marked:,} points are"
    some = f", {here:,} of them in these rows" if here < marked else ""
    return [f"{front} on the front for {goals}{some}: no other is at least as good in all of that and better in one (marked *)."]


def failed_sentence(rows: Rows) -> str:
    """How many points failed, and how the first did."""
    failed = failures(rows)
    first = records(rows, failed[:1])[0]
    return f"{len(failed):,} of {rows.points.count:,} points failed, the first with {first['error']}"
