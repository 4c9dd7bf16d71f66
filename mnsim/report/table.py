"""Tables for a terminal, with rich."""

import io
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mnsim.interpreters.cost import Estimate
from mnsim.report.columns import Column, layer_columns, type_rows
from mnsim.report.records import Record, as_dict
from mnsim.report.text import to_aligned
from mnsim.report.words import headline, sentences, taken_out

_STYLES = {"bus": "cyan", "matrix": "magenta", "vector": "yellow"}
_PADDING = (0, 1, 0, 0)
_GAP = 2  # spaces between two columns: the padding and the box's divider


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


def fitted(columns: Sequence[Column], layers: Sequence[Record], total: Record, width: int) -> tuple[Table, int]:
    """The table of layers with its totals, in the columns that fit the width, and how many do not."""
    rows = [[column.cell(layer) for column in columns] for layer in layers]
    totals = [column.total(total) for column in columns]
    kept = that_fit(columns, [*rows, totals], width)
    table = _grid([columns[place] for place in kept], [totals[place] for place in kept])
    for row in rows:
        table.add_row(*(_cell(row[place]) for place in kept))
    return table, len(columns) - len(kept)


def _cell(text: str) -> Text:
    return Text(text, style=_STYLES.get(text, ""))


def that_fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The columns that the width holds: the first by rank."""
    widths = [max(len(column.heading), *(len(row[place]) for row in rows)) for place, column in enumerate(columns)]
    kept = sorted(range(len(columns)), key=lambda place: columns[place].rank)
    while len(kept) > 1 and sum(widths[place] for place in kept) + _GAP * (len(kept) - 1) > width:
        fewer = [place for place in kept if columns[place].rank < columns[kept[-1]].rank]
        kept = fewer or kept[:-1]  # of equal rank, the last go one by one
    return sorted(kept)


def _grid(columns: Sequence[Column], totals: Sequence[str]) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, padding=_PADDING, header_style="bold", show_edge=False, show_footer=True)
    for column, total in zip(columns, totals, strict=True):
        table.add_column(column.heading, _cell(total), justify="left" if column.is_text else "right", no_wrap=True)
    return table


def render(parts: Sequence[object], width: int, color: bool) -> str:
    """The parts as text of that width, with ANSI colours or without."""
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
        console.print(part)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())
