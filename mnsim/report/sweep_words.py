"""A sweep in sentences: about all points that ran or that `--where` keeps, also those that are not shown."""

from collections.abc import Mapping, Sequence
from typing import Any

from mnsim.explore.points import Indices
from mnsim.explore.rows import Rows, engine_counts, failures, least, records, with_results
from mnsim.explore.select import MARK, Objective, Selected, equals_of, first_of, left_out
from mnsim.operators.quantities import FURTHER
from mnsim.program.model import EngineName
from mnsim.report.sweep_cells import heading_of, telling
from mnsim.report.words import ENGINE_WORDS, nothing_lives_in, sentence_case
from mnsim.units import format_scaled


def sweep_sentences(rows: Rows, selected: Selected, shown: Indices) -> list[str]:
    """The fastest and the slowest point, the busiest engines and the bounds, the front, and the points that
    lack a value for it.

    They speak of the points that meet the conditions. `shown` are those in the table, which may be fewer.
    """
    if not rows.time_names or not len(with_results(rows, selected.kept)):
        return []
    return [*_extremes(rows, selected), _engines(rows, selected), *_front(rows, selected, shown), *nothing_lives_in(_further(rows))]


def _further(rows: Rows) -> list[str]:
    """The further memories of all the hardware."""
    found: dict[str, None] = {}
    for axis in rows.points.axes:
        sections = [level.data.get(FURTHER) for level in axis.levels] if axis.name == "hardware" else []
        if axis.name.partition(".")[0] == FURTHER:
            _, _, name = axis.name.partition(".")
            sections = [{name.partition(".")[0]: None}] if name else list(axis.data)
        found |= dict.fromkeys(name for section in sections for name in section or ())
    return list(found)


def _those(rows: Rows, selected: Selected) -> str:
    """The points that the sentences speak of."""
    count, points = len(with_results(rows, selected.kept)), rows.points.count
    if not selected.selection.conditions:
        return f"all {points:,} points" if count == points > 1 else f"the {_counted(count, 'point')} with a result"
    rest = "" if count == len(selected.kept) else "with a result "
    return f"the {_counted(count, 'point')} {rest}that --where keeps"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _time(rows: Rows) -> str:
    return "simulated_time_s" if "simulated_time_s" in rows.names else "serial_time_s"


def _extremes(rows: Rows, selected: Selected) -> list[str]:
    name, numbers = _time(rows), selected.kept
    fastest, slowest = first_of(rows, Objective(name, "min"), numbers), first_of(rows, Objective(name, "max"), numbers)
    if fastest is None or slowest is None or fastest == slowest:
        return []
    shortest, longest = float(rows.times[name][fastest]), float(rows.times[name][slowest])
    how = "" if name == "simulated_time_s" else ", one thing at a time"
    first, last = (_where(rows, number, selected, (fastest, slowest)) for number in (fastest, slowest))
    best = f"Fastest of {_those(rows, selected)}{how}: {first}: {format_scaled(shortest, 's')}"
    worst = f"slowest: {last}: {format_scaled(longest, 's')}, {longest / shortest:.4g}x that"
    return [f"{best}; {worst}."]


def _where(rows: Rows, number: int, selected: Selected, apart: Sequence[int]) -> str:
    """The values that tell a point from those `apart`, and the number of others with the same time."""
    varying = rows.columns.varying
    record: Mapping[str, Any] = records(rows, [number], rows.point_names)[0]
    words = ", ".join(f"{heading_of(name)} {telling(rows, name, apart)(record[name]) or 'none'}" for name in varying)
    others = equals_of(rows, _time(rows), number, selected.kept)
    return f"{words} and {others:,} more" if others else words


def _engines(rows: Rows, selected: Selected) -> str:
    """Which engine is busiest and which sets the lower bound: two questions, which can have two answers."""
    busiest, bound_by = (engine_counts(rows, name, selected.kept) for name in ("busiest", "bound_by"))
    where = "" if rows.points.count == 1 else f"in {_those(rows, selected)} "
    if len(busiest) == len(bound_by) == 1 and busiest == bound_by:
        return sentence_case(f"{where}{ENGINE_WORDS[next(iter(busiest))]} is busiest and sets the lower bound.")
    return sentence_case(f"{where}{_tally(busiest, 'is busiest')}; {_tally(bound_by, 'sets the lower bound')}.")


def _tally(counts: Mapping[EngineName, int], does: str) -> str:
    """`the bus is busiest 668 times, the matrix unit 332`; without a number where it is always the same
    one.
    """
    first, *others = counts
    if not others:
        return f"{ENGINE_WORDS[first]} {does}"
    rest = "".join(f", {ENGINE_WORDS[engine]} {counts[engine]:,}" for engine in others)
    return f"{ENGINE_WORDS[first]} {does} {_counted(counts[first], 'time')}{rest}"


def _front(rows: Rows, selected: Selected, shown: Indices) -> list[str]:
    if MARK not in rows.flags:
        return []
    marked, here = int(rows.flags[MARK].sum()), int(rows.flags[MARK][shown].sum())
    objectives = selected.selection.objectives
    goals = " and ".join(f"{'more' if each.sense == 'max' else 'less'} {each.column}" for each in objectives)
    apart = not_compared_sentences(rows, selected)
    if not marked:
        return [f"No point is on the front for {goals}: none has a value in all of that.", *apart]
    front = "1 point is" if marked == 1 else f"{marked:,} points are"
    some = f", {here:,} of them in these rows" if here < marked else ""
    compared = len(left_out(rows, objectives, selected.candidates).compared)
    every = f"no other of the {compared:,} compared is" if compared > 1 else "no other is compared, or"
    return [f"{front} on the front for {goals}{some}: {every} at least as good in all of that and better in one (marked *).", *apart]


def not_compared_sentences(rows: Rows, selected: Selected) -> list[str]:
    """The number of points with a result that the front leaves out, the columns that they lack, and whether
    the fastest is one of them.
    """
    if not selected.selection.objectives:
        return []
    found = left_out(rows, selected.selection.objectives, selected.candidates)
    if not len(found.numbers):
        return []
    lacks = " or ".join(f"no {name}" for name in found.columns)
    count = len(found.numbers)
    sentence = f"{_counted(count, 'point')} {'has' if count == 1 else 'have'} {lacks} and {'is' if count == 1 else 'are'} not compared"
    here, there = least(rows, _time(rows), found.numbers), least(rows, _time(rows), found.compared)
    is_fastest = here is not None and there is not None and here < there
    return [f"{sentence}{', the fastest of all among them' if is_fastest and count > 1 else ', the fastest of all' if is_fastest else ''}."]


def failed_sentence(rows: Rows) -> str:
    """The number of points that failed, and the first error."""
    failed = failures(rows)
    first = records(rows, failed[:1])[0]
    return f"{len(failed):,} of {rows.points.count:,} points failed, the first with {first['error']}"


def goals_record(rows: Rows, selected: Selected) -> dict[str, Any]:
    """The front as data: its objectives, the number of points compared, and of those left out by the column
    that they lack.
    """
    objectives: Sequence[Objective] = selected.selection.objectives
    found = left_out(rows, objectives, selected.candidates)
    return {
        "objectives": [f"{each.sense}:{each.column}" for each in objectives],
        "compared": len(found.compared),
        "not_compared": len(found.numbers),
        "missing": found.columns,
        "failed": len(selected.candidates) - len(found.compared) - len(found.numbers),
    }
