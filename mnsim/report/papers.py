"""Reproductions of papers as JSON, CSV and tables: printed values beside computed ones, slips in words, totals side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from mnsim.papers.reproduce import Cell, Reproduction, SlipEffect, as_number
from mnsim.report.records import Record
from mnsim.report.text import to_markdown as markdown_table
from mnsim.units import format_scaled


def legend(found: Sequence[Reproduction]) -> str:
    """What the marks mean."""
    through = "" if any(each.rule_alone for each in found) else "=3 through slip 3; "
    return f"= computed and printed agree at the printed precision; {through}≠ they differ; (published) carried, not computed"


def mark_of(cell: Cell) -> str:
    """exact, exact through slip n, differs, published, or computed (where nothing is printed)."""
    if cell.is_published:
        return "published"
    if not cell.printed:
        return "computed"
    if not cell.is_exact:
        return "differs"
    return f"exact through slip {_ranges(cell.slips)}" if cell.slips else "exact"


def _ranges(numbers: Sequence[int]) -> str:
    """1,2,3,5 as 1-3,5."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def cell_record(cell: Cell) -> Record:
    """One cell."""
    return {
        "table": cell.table,
        "row": int(cell.row) if cell.row.isdigit() else cell.row,
        "layer": cell.layer,
        "column": cell.column,
        "computed": as_number(cell.computed),
        "printed": cell.printed,
        "mark": mark_of(cell),
        "slips": list(cell.slips),
    }


def flat_cells(found: Sequence[Reproduction]) -> list[Record]:
    """All cells of all papers for CSV; several slips are joined with `;`."""
    records = ({"paper": each.paper, **cell_record(cell)} for each in found for cell in each.cells)
    return [{**record, "slips": ";".join(map(str, record["slips"]))} for record in records]


def as_record(found: Sequence[Reproduction]) -> Record:
    """All papers, and how many cells came out."""
    good, all_, wrong = count(found)
    return {
        "papers": [
            {
                "paper": each.paper,
                "title": each.title,
                "network": each.network,
                "cells": [cell_record(cell) for cell in each.cells],
                "slips": [asdict(slip) for slip in each.slips],
                "notes": list(each.notes),
                "claims": [{"says": says, "but": but} for says, but in each.claims],
                "totals_s": dict(each.totals),
            }
            for each in found
        ],
        "reproduced": good,
        "cells": all_,
        "unexplained": wrong,
    }


def count(found: Sequence[Reproduction]) -> tuple[int, int, int]:
    """Cells that came out and cells in all, of the papers that have a rule if there are any; and what differs anywhere."""
    ruled = [each for each in found if each.totals]
    checked = [cell for each in ruled or found for cell in each.checked]
    wrong = sum(not cell.is_exact for each in found for cell in each.checked)
    return sum(cell.is_exact for cell in checked), len(checked), wrong


def tables_of(found: Reproduction, both: bool) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """The paper's tables: a title, headings, and rows in which each cell is marked; `both` adds computed values that look different."""
    for table in dict.fromkeys(cell.table for cell in found.cells):
        cells = [cell for cell in found.cells if cell.table == table]
        columns = list(dict.fromkeys(cell.quantity for cell in cells))
        by_row: dict[str, dict[str, Cell]] = {}
        for cell in cells:
            by_row.setdefault(cell.row, {})[cell.quantity] = cell
        rows = []
        for row, line in by_row.items():
            layer = next(iter(line.values())).layer
            rows.append([row, layer, *(_shown(line[column], both) if column in line else "" for column in columns)])
        yield f"{found.paper}, {table}" if table else found.paper, ["row", "layer", *columns], rows


def _shown(cell: Cell, both: bool) -> str:
    value = as_number(cell.computed)
    digits = 7 if both else 4  # a narrow table has room for fewer
    computed = "nothing" if value is None else f"{value:.{digits}g}" if isinstance(value, float) else str(value)
    if cell.is_published:
        return f"{cell.printed} (published)"
    if not cell.printed:
        return computed
    if not cell.is_exact:
        return f"{cell.printed} ≠ {computed}"
    sign = f"={_ranges(cell.slips)}"
    return f"{cell.printed} {sign}" if computed == cell.printed or not both else f"{cell.printed} {sign} {computed}"


def slip_lines(found: Reproduction) -> list[str]:
    """Every slip in words with what it does, notes, then the claims that the tables contradict."""
    slips = [f"slip {slip.number}, {slip.where}: {slip.because}{'' if found.rule_alone else _effect(slip)}" for slip in found.slips]
    return [*slips, *found.notes, *(f'says "{says}", but {but}' for says, but in found.claims)]


def _effect(slip: SlipEffect) -> str:
    total = "" if slip.total_without_s is None else f"; without it the total would be {format_scaled(slip.total_without_s, 's')}"
    return f" (changes {slip.cells} {'cell' if slip.cells == 1 else 'cells'}{total})"


def total_rows(found: Sequence[Reproduction]) -> tuple[list[str], list[list[str]]]:
    """The papers' totals, their rules', and the physical model's, side by side."""
    with_totals = [each for each in found if each.totals]
    names = list(dict.fromkeys(name for each in with_totals for name, _ in each.totals))
    rows = []
    for name in names:
        values = [dict(each.totals).get(name) for each in with_totals]
        rows.append([name, *("none" if value is None else format_scaled(value, "s", 7) for value in values)])
    return ["", *(f"{each.paper}" for each in with_totals)], rows


def verdict(found: Sequence[Reproduction]) -> str:
    """The last line: how many cells came out."""
    good, all_, wrong = count(found)
    if any(each.rule_alone for each in found):
        return f"{good} of {all_} cells are what the rule alone gives; {all_ - good} are not"
    return f"{good} of {all_} cells reproduced; {wrong} unexplained"


def closing(found: Sequence[Reproduction]) -> list[str]:
    """The last lines: published tables by themselves, then all cells of the papers that have a rule."""
    ruled = [each for each in found if each.totals]
    published = [each for each in found if not each.totals]
    if not any(each.checked for each in found):
        return []
    lines = [f"{each.paper}: {verdict([each])}" for each in published] if ruled else [verdict(published)]
    return [*lines, verdict(found)] if ruled else lines


def to_markdown(found: Sequence[Reproduction]) -> str:
    """The tables, slips and totals in markdown."""
    parts = []
    for each in found:
        parts.append(f"## {each.paper}\n\n{each.title}; {each.network}\n")
        for title, headings, rows in tables_of(each, True):
            parts.append(f"### {title}\n\n" + markdown_table(headings, rows, [False, True, *[False] * (len(headings) - 2)]))
        parts.append("".join(f"- {line}\n" for line in slip_lines(each)))
    headings, rows = total_rows(found)
    if rows:
        parts.append(markdown_table(headings, rows, [True, *[False] * (len(headings) - 1)]))
    return "\n".join([*parts, f"{legend(found)}\n", *(f"{line}\n" for line in closing(found))])
