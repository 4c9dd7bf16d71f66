"""A sweep for people: the points to run, or the rows in the columns that tell them apart, and sentences."""

from collections.abc import Sequence

from mnsim.document.blocks import Block, Column, Lines, Table, Words
from mnsim.document.model import View
from mnsim.explore.points import Indices, Points, count_groups, may_share_plans
from mnsim.explore.rows import TEXTS, Rows, least, records, texts
from mnsim.explore.select import MARK, Selected
from mnsim.operators.quantities import QUANTITIES
from mnsim.report.columns import time_unit
from mnsim.report.records import ENGINE_TIMES, Record
from mnsim.report.sweep_cells import Show, heading_of, shown_value, telling
from mnsim.report.sweep_words import sweep_sentences

MOST_ROWS = 200  # of a table on a screen
_MOST_LEVELS = 8  # of an axis in a list


def listing_blocks(points: Points, mode: str, stored: int | None) -> Sequence[Block]:
    """The axes with their levels, the number of points and plans, and the number of stored points."""
    several = [axis for axis in points.axes if len(axis.levels) > 1 or axis.name in ("network", "hardware")]
    axes = Column("axis", [axis.name for axis in several], is_text=True)
    counts = Column("levels", [str(len(axis.levels)) for axis in several])
    table = Table((axes, counts, Column("", [_few(axis.words) for axis in several], is_text=True)))
    plans = count_groups(points)
    how = {"grid": "every combination", "zip": "side by side", "sample": "a Latin hypercube"}[mode]
    at_most = "at most " if may_share_plans(points) else ""
    counted = f"{points.count:,} {_plural(points.count, 'point')} ({how}), {at_most}{plans:,} {_plural(plans, 'plan')}"
    there = "" if stored is None else f", {stored:,} of the points {'is' if stored == 1 else 'are'} in the store"
    return [table, Lines([f"{counted}{there}\n"])]


def _few(words: Sequence[str]) -> str:
    shown = ", ".join(words[:_MOST_LEVELS])
    return shown if len(words) <= _MOST_LEVELS else f"{shown}, ... {words[-1]}"


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def sweep_blocks(rows: Rows, selected: Selected, view: View, is_file: bool) -> Sequence[Block]:
    """The values that all points share, the rows in the columns that tell them apart, and sentences. On a
    screen, rows beyond MOST_ROWS are only counted, unless more were asked for.
    """
    numbers = selected.numbers
    is_whole = is_file or view in ("bare", "page") or selected.selection.top is not None
    shown = numbers if is_whole else numbers[:MOST_ROWS]
    more = len(numbers) - len(shown)
    remark = f"({more:,} more rows: --top N, --where, or -o FILE.csv)" if more else ""
    table = Table(_columns(rows, shown, view == "more"), elsewhere="--format csv", remark=remark)
    if view == "bare":
        return [table]
    sentences = tuple(sweep_sentences(rows, selected, shown))
    return [Words((_common(rows, numbers),), are_prose=True), table, Words(sentences, are_items=True, are_prose=True)]


def _common(rows: Rows, numbers: Indices) -> str:
    """The values that all rows share, in a line."""
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


def _columns(rows: Rows, numbers: Indices, verbose: bool) -> tuple[Column, ...]:
    """The parts of a point that vary, then figures, the less useful ones first to go where there is little
    room.

    `verbose` adds the length of the program, the busy time of each engine, what the busiest of them needs
    of any schedule, and the bound for the plan's segments in their order.
    """
    found = records(rows, numbers)

    def column(heading: str, name: str, show: Show, rank: int, is_text: bool = False) -> tuple[str, Column]:
        return name, Column(heading, ["" if (value := each.get(name)) is None else show(value) for each in found], rank, is_text)

    def time(heading: str, name: str, rank: int) -> tuple[str, Column]:
        return column(f"{heading} {unit}", name, lambda seconds: f"{seconds / scale:,.1f}", rank)

    unit, scale = time_unit((least(rows, "bound_time_s", numbers) if "bound_time_s" in rows.names else None) or 1.0)
    more = [
        column("commands", "commands", "{:,}".format, 10),
        *(time(engine, name, 10) for engine, name in ENGINE_TIMES.items()),
        time("plain bound", "bound_time_s", 10),
        time("bound in order", "capacity_bound_time_s", 10),
    ]
    columns = [
        *(column(heading_of(name), name, telling(rows, name, numbers), 0, name in TEXTS) for name in rows.columns.varying),
        column("M MACs", "macs", lambda count: f"{count / 1e6:,.1f}", 6),
        column("parameters", "parameters", "{:,}".format, 9),
        column("moved B", "traffic_bytes", "{:,}".format, 5),
        column("reserved B", "reserved_sram_bytes", "{:,}".format, 8),
        time("serial", "serial_time_s", 7),
        *(more if verbose else []),
        time("simulated", "simulated_time_s", 1),
        ("simulated_time_s", Column("x bound", list(map(_to_bound, found)), 4)),
        time("bound", "any_schedule_bound_time_s", 3),
        column("by", "bound_by", str, 3, True),
        column("busiest", "busiest", str, 2, True),
        column("energy uJ", "energy_j", lambda joules: f"{joules * 1e6:,.2f}", 4),
    ]
    if least(rows, "published_accuracy", numbers) is not None:
        columns.append(column("accuracy", "published_accuracy", lambda share: f"{100 * share:.1f} %", 3))
    if MARK in rows.flags:
        columns.append(column("front", MARK, lambda is_on: "*" if is_on else "", 1, True))
    if any(text is not None for text in texts(rows, "error", numbers).tolist()):
        columns += [column("error", "error", lambda text: text.partition(":")[0], 1, True)]
        columns += [column("why", "error", lambda text: text.partition(": ")[2], 9, True)]
    return tuple(each for name, each in columns if name in rows.names)


def _to_bound(record: Record) -> str:
    bound_s, simulated_s = record.get("any_schedule_bound_time_s"), record.get("simulated_time_s")
    return f"{simulated_s / bound_s:.3f}" if bound_s and simulated_s is not None else ""
