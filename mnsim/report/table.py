"""Tables for a terminal: laid out here, for thousands of lines; rich breaks the sentences into lines and knows the colours."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style

from mnsim.interpreters.cost import Estimate
from mnsim.report.columns import Column, layer_columns, type_rows
from mnsim.report.records import Record, as_dict
from mnsim.report.text import pad, to_aligned
from mnsim.report.words import headline, sentences, taken_out

_STYLES = {"bus": "cyan", "matrix": "magenta", "vector": "yellow"}
_GAP = 2  # spaces between two columns

Paint = Callable[[str, str], str]  # a text in a style


@dataclass(frozen=True, slots=True)
class Grid:
    """A table in the columns that fit: headings, rows of cells, totals, and for each column its width and whether it is words."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    totals: Sequence[str]
    widths: Sequence[int]
    is_text: Sequence[bool]


def estimate_table(estimate: Estimate, width: int, color: bool, verbosity: int = 0) -> str:
    """The table of layers and totals in the columns that fit the width, the shares by type, and the sentences.

    Verbosity -1 gives the table of layers alone, 1 adds how each layer is cut.
    """
    record = as_dict(estimate)
    table, hidden = fitted(layer_columns(estimate, verbosity > 0), record["layers"], record["total"], width)
    if verbosity < 0:
        return render([table], width, color)
    headings, shares = type_rows(record)
    note = [f"({hidden} more columns in a wider terminal; every figure: --format csv, or --layer NAME)"] if hidden else []
    words = "\n".join([*sentences(estimate), *(taken_out(estimate.graph) if verbosity > 0 else ()), *note])
    types = to_aligned(headings, shares, [heading == "type" for heading in headings]).rstrip("\n")
    shown = [types] if max(map(len, types.splitlines())) <= width else []
    return render([headline(estimate), table, *shown, words], width, color)


def fitted(columns: Sequence[Column], layers: Sequence[Record], total: Record, width: int) -> tuple[Grid, int]:
    """The table of layers with its totals, in the columns that fit the width, and how many do not."""
    rows = [[column.cell(layer) for column in columns] for layer in layers]
    totals = [column.total(total) for column in columns]
    kept = that_fit(columns, [*rows, totals], width)
    headings, *rows, totals = ([line[place] for place in kept] for line in ([each.heading for each in columns], *rows, totals))
    widths = [min(width, max(map(len, column))) for column in zip(headings, *rows, totals, strict=True)]
    return Grid(headings, rows, totals, widths, [columns[place].is_text for place in kept]), len(columns) - len(kept)


def that_fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The columns that the width holds: the first by rank."""
    widths = [max(len(column.heading), *(len(row[place]) for row in rows)) for place, column in enumerate(columns)]
    kept = sorted(range(len(columns)), key=lambda place: columns[place].rank)
    while len(kept) > 1 and sum(widths[place] for place in kept) + _GAP * (len(kept) - 1) > width:
        fewer = [place for place in kept if columns[place].rank < columns[kept[-1]].rank]
        kept = fewer or kept[:-1]  # of equal rank, the last go one by one
    return sorted(kept)


def render(parts: Sequence[str | Grid], width: int, color: bool) -> str:
    """The parts as text of that width, with ANSI colours or without: tables as they are, words in lines that fit."""
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    for number, part in enumerate(parts):
        if number:
            console.print()
        if isinstance(part, str):
            console.print(part)
        else:
            stream.write(_laid_out(part, _paint(color, console.no_color)))
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def _paint(color: bool, only_bold: bool) -> Paint:
    if not color:
        return lambda text, style: text
    styles = {words: Style.parse(words) for hue in ("", *_STYLES.values()) for words in (hue, f"bold {hue}".strip())}
    if only_bold:
        styles = {words: style.without_color for words, style in styles.items()}
    return lambda text, style: styles[style].render(text, color_system=ColorSystem.STANDARD) if style else text


def _laid_out(grid: Grid, paint: Paint) -> str:
    """The table: headings and totals in bold, each with a rule to the rows; engines in their colours."""

    def line(cells: Sequence[str], bold: str = "") -> str:
        gap = paint(" ", bold) + " " * (_GAP - 1)
        places = zip(cells, grid.widths, grid.is_text, strict=True)
        return gap.join([paint(_fit(cell, width, text), f"{bold} {_STYLES.get(cell, '')}".strip()) for cell, width, text in places])

    rule = "─" * (sum(grid.widths) + _GAP * (len(grid.widths) - 1))
    return "\n".join([line(grid.headings, "bold"), rule, *map(line, grid.rows), rule, line(grid.totals, "bold")]) + "\n"


def _fit(cell: str, width: int, is_text: bool) -> str:
    """A cell as wide as its column, cut where the terminal has no room for that."""
    return pad(cell if len(cell) <= width else f"{cell[: width - 1]}…", width, is_text)
