"""`mnsim reproduce`: printed values beside computed ones, slips in words, totals side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from mnsim.document.blocks import Block, Column, Lines, Section, Table, Words
from mnsim.document.model import Document, View
from mnsim.papers.reproduce import Cell, Reproduction, SlipEffect, as_number
from mnsim.report.records import Record, rows_of
from mnsim.units import format_scaled


def papers_document(found: Sequence[Reproduction]) -> Document:
    """Each paper's tables, slips and claims, the totals of all, and the number of cells that came out."""
    return Document(lambda: as_record(found), lambda: rows_of(flat_cells(found)), lambda view: list(_blocks(found, view)))


def _blocks(found: Sequence[Reproduction], view: View) -> Iterator[Block]:
    """A printed value with its computed one beside it, where they differ and the width allows."""
    for each in found:
        yield Section(each.paper, f"{each.title}; {each.network}")
        yield from _tables(each, view == "page")
        lines = slip_lines(each)
        if view == "page" or (lines and view != "bare"):
            yield Words(tuple(lines), are_items=True, are_hanging=True, are_prose=True)
    if view != "bare":
        if any(each.totals for each in found):
            yield total_table(found)
        if view == "page" or any(cell.printed for each in found for cell in each.cells):
            yield Words((legend(found),), are_prose=True)
    for line in closing(found):
        yield Lines((f"{line}\n",))


def _tables(found: Reproduction, is_page: bool) -> Iterator[Table]:
    """The paper's tables; on a screen that is too narrow for one, with shorter cells, then without the
    names of layers.
    """
    for table in dict.fromkeys(cell.table for cell in found.cells):
        cells = [cell for cell in found.cells if cell.table == table]
        title = f"{found.paper}, {table}" if table else found.paper
        if is_page:
            yield Table(_columns(cells, True, is_page), title)
        else:
            short = _columns(cells, False, is_page)
            narrow = Table(short, title, narrower=Table((short[0], *short[2:]), title))
            yield Table(_columns(cells, True, is_page), title, narrower=narrow)


def _columns(cells: Sequence[Cell], both: bool, is_page: bool) -> tuple[Column, ...]:
    """Rows in which each cell is marked; `both` adds computed values of other digits."""
    by_row: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        by_row.setdefault(cell.row, {})[cell.quantity] = cell
    layers = Column("layer", [next(iter(line.values())).layer for line in by_row.values()], is_text=True)
    quantities = dict.fromkeys(cell.quantity for cell in cells)
    shown = (
        Column(name, [_shown(line[name], both) if name in line else "" for line in by_row.values()], is_text=not is_page)
        for name in quantities
    )
    return Column("row", list(by_row)), layers, *shown


def legend(found: Sequence[Reproduction]) -> str:
    """The meaning of the marks."""
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
    """All cells of all papers; several slips are joined with `;`."""
    records = ({"paper": each.paper, **cell_record(cell)} for each in found for cell in each.cells)
    return [{**record, "slips": ";".join(map(str, record["slips"]))} for record in records]


def as_record(found: Sequence[Reproduction]) -> Record:
    """All papers, and the number of cells that came out."""
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
    """Cells that came out and cells in all, of the papers that have a rule if there are any; and the cells
    that differ anywhere.
    """
    ruled = [each for each in found if each.totals]
    checked = [cell for each in ruled or found for cell in each.checked]
    wrong = sum(not cell.is_exact for each in found for cell in each.checked)
    return sum(cell.is_exact for cell in checked), len(checked), wrong


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
    """Every slip in words with its effect, notes, then the claims that the tables contradict."""
    slips = [f"slip {slip.number}, {slip.where}: {slip.because}{'' if found.rule_alone else _effect(slip)}" for slip in found.slips]
    return [*slips, *found.notes, *(f'says "{says}", but {but}' for says, but in found.claims)]


def _effect(slip: SlipEffect) -> str:
    total = "" if slip.total_without_s is None else f"; without it the total would be {format_scaled(slip.total_without_s, 's')}"
    return f" (changes {slip.cells} {'cell' if slip.cells == 1 else 'cells'}{total})"


def total_table(found: Sequence[Reproduction]) -> Table:
    """The papers' totals, their rules', and the physical model's, side by side."""
    with_totals = [each for each in found if each.totals]
    names = list(dict.fromkeys(name for each in with_totals for name, _ in each.totals))
    columns = [Column("", names, is_text=True)]
    for each in with_totals:
        values = [dict(each.totals).get(name) for name in names]
        columns.append(Column(each.paper, ["none" if value is None else format_scaled(value, "s", 7) for value in values]))
    return Table(tuple(columns))


def verdict(found: Sequence[Reproduction]) -> str:
    """The last line: the number of cells that came out."""
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
