"""Reproductions of papers as text for a terminal or a file."""

from collections.abc import Sequence
from textwrap import fill

from mnsim.papers.reproduce import Reproduction
from mnsim.report.papers import closing, legend, slip_lines, tables_of, total_rows
from mnsim.report.text import to_aligned


def papers_table(found: Sequence[Reproduction], width: int, verbosity: int = 0) -> str:
    """Each paper's tables, its slips and claims in words, the totals of all side by side, and how many cells came out.

    A computed value stands beside a printed one of other digits where the width allows. Verbosity -1 leaves the tables alone.
    """
    parts: list[str] = []
    for each in found:
        parts.append(fill(f"{each.paper}: {each.title}; {each.network}", width) + "\n")
        for (title, headings, rows), (_, _, short) in zip(tables_of(each, True), tables_of(each, False), strict=True):
            layouts = (_table(headings, rows), _table(headings, short), _table(*_without_layer(headings, short)))
            parts.append(f"{title}\n\n{next((layout for layout in layouts if _width(layout) <= width), layouts[-1])}")
        if verbosity >= 0 and (lines := slip_lines(each)):
            parts.append("".join(fill(line, width, subsequent_indent="  ") + "\n" for line in lines))
    headings, rows = total_rows(found)
    if rows and verbosity >= 0:
        parts.append(to_aligned(headings, rows, [True, *[False] * (len(headings) - 1)]))
    if verbosity >= 0 and any(cell.printed for each in found for cell in each.cells):
        parts.append(fill(legend(found), width) + "\n")
    return "\n".join([*parts, *(f"{line}\n" for line in closing(found))])


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return to_aligned(headings, rows, [False, *[True] * (len(headings) - 1)])


def _without_layer(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """The table for a narrow terminal: the row's number says which layer it is."""
    return [headings[0], *headings[2:]], [[row[0], *row[2:]] for row in rows]


def _width(text: str) -> int:
    return max(map(len, text.splitlines()))
