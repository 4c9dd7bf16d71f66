"""A sweep for people: what is going to run; the rows in the columns that tell them apart; and what stands out, in words."""

from collections.abc import Sequence
from textwrap import fill

from mnsim.explore.points import Numbers, Points, count_groups, may_share_plans
from mnsim.explore.rows import TEXTS, Rows, least, records, texts
from mnsim.explore.select import MARK, Selected
from mnsim.operators.quantities import QUANTITIES
from mnsim.report.columns import Column, time_unit
from mnsim.report.records import Record
from mnsim.report.sweep_cells import Show, heading_of, shown_value, telling
from mnsim.report.sweep_words import sweep_sentences
from mnsim.report.table import that_fit
from mnsim.report.text import to_aligned, to_markdown

MOST_ROWS = 200  # of a table: more than anybody reads
_MOST_LEVELS = 8  # of an axis in a list


def listing(points: Points, mode: str, stored: int | None = None) -> str:
    """The axes with their levels, how many points and plans that makes, and how many of them a store has."""
    several = [axis for axis in points.axes if len(axis.levels) > 1 or axis.name in ("network", "hardware")]
    rows = [[axis.name, str(len(axis.levels)), _few(axis.words)] for axis in several]
    table = to_aligned(["axis", "levels", ""], rows, [True, False, True])
    plans = count_groups(points)
    how = {"grid": "every combination", "zip": "side by side", "sample": "a Latin hypercube"}[mode]
    at_most = "at most " if may_share_plans(points) else ""
    counted = f"{points.count:,} {_plural(points.count, 'point')} ({how}), {at_most}{plans:,} {_plural(plans, 'plan')}"
    there = "" if stored is None else f", {stored:,} of the points {'is' if stored == 1 else 'are'} in the store"
    return f"{table}\n{counted}{there}\n"


def _few(words: Sequence[str]) -> str:
    shown = ", ".join(words[:_MOST_LEVELS])
    return shown if len(words) <= _MOST_LEVELS else f"{shown}, ... {words[-1]}"


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def sweep_table(rows: Rows, selected: Selected, width: int, verbosity: int = 0, is_file: bool = False) -> str:
    """What all points have in common, the rows in the columns that the width holds, and what stands out.

    Verbosity -1 gives the rows alone, 1 more columns. On a screen, rows beyond MOST_ROWS are counted, unless so many were asked for.
    """
    numbers = selected.numbers
    shown = numbers[:MOST_ROWS] if verbosity >= 0 and selected.selection.top is None and not is_file else numbers
    columns = _columns(rows, shown, verbosity > 0)
    found = records(rows, shown)
    cells = [[column.cell(record) for column in columns] for record in found]
    kept = that_fit(columns, cells or [[""] * len(columns)], width)
    headings = [columns[place].heading for place in kept]
    table = to_aligned(headings, [[line[place] for place in kept] for line in cells], [columns[place].is_text for place in kept])
    if verbosity < 0:
        return table
    words = [_common(rows, numbers), "", table, *sweep_sentences(rows, selected, shown)]
    if len(columns) > len(kept):
        words.append(f"({len(columns) - len(kept)} more columns in a wider terminal; every figure: --format csv)")
    if len(numbers) > len(shown):
        words.append(f"({len(numbers) - len(shown):,} more rows: --top N, --where, or -o FILE.csv)")
    return "".join(f"{line if line is table else fill(line, width)}\n" for line in words)


def sweep_markdown(rows: Rows, selected: Selected) -> str:
    """All rows in the columns that tell them apart, and what stands out."""
    numbers = selected.numbers
    columns = _columns(rows, numbers)
    cells = [[column.cell(record) for column in columns] for record in records(rows, numbers)]
    table = to_markdown([column.heading for column in columns], cells, [column.is_text for column in columns])
    words = "".join(f"- {sentence}\n" for sentence in sweep_sentences(rows, selected, numbers))
    return f"{_common(rows, numbers)}\n\n{table}\n{words}"


def _common(rows: Rows, numbers: Numbers) -> str:
    """What is the same in all rows, in a line."""
    points = f"{rows.points.count:,} {_plural(rows.points.count, 'point')}"
    counted = f"{len(numbers):,} of {points}" if len(numbers) < rows.points.count else points
    if not len(numbers):
        return counted
    varying, first = rows.columns.varying, records(rows, numbers[:1])[0]
    parts = []
    for name in ("network", "dtype", "policy", "alpha", "rho"):
        if name not in varying:
            parts.append(
                f"{name} {shown_value(name, first[name])}" if name in ("alpha", "rho", "policy") else shown_value(name, first[name])
            )
    machine = [] if "hardware" in varying else [f"on {first['hardware']}"]
    for quantity in QUANTITIES:
        if quantity.is_needed and quantity.column not in varying and machine:
            value = shown_value(quantity.column, first[quantity.column])
            words = {"B/s": value, "B": f"{value} {quantity.heading}"}
            machine.append(words.get(quantity.unit, f"{quantity.heading} {value}"))
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
        *(column(heading_of(name), name, telling(rows, name, numbers), 0, name in TEXTS) for name in rows.columns.varying),
        column("M MACs", "macs", lambda count: f"{count / 1e6:,.1f}", 6),
        column("parameters", "parameters", "{:,}".format, 9),
        column("moved B", "traffic_bytes", "{:,}".format, 5),
        column("reserved B", "reserved_sram_bytes", "{:,}".format, 8),
        time("serial", "serial_time_s", 7),
        *(more if verbose else []),
        time("simulated", "simulated_time_s", 1),
        ("simulated_time_s", Column("x bound", _to_bound, lambda total: "", 4)),
        time("bound", "bound_time_s", 3),
        column("by", "bound_by", str, 3, True),
        column("busiest", "busiest", str, 2, True),
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


def _to_bound(record: Record) -> str:
    return f"{record['simulated_time_s'] / record['bound_time_s']:.3f}" if record["bound_time_s"] else ""
