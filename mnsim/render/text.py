"""Blocks as text for a terminal, or for a file that a person reads."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from textwrap import fill
from typing import assert_never

from mnsim.document.blocks import Chart, Column, Headline, Lines, Section, Table, Words
from mnsim.document.model import Document
from mnsim.render.formats import Screen

STYLES = {"bus": "cyan", "matrix": "magenta", "vector": "yellow"}  # of a cell with that word
_GAP = 2  # spaces between two columns


def render(document: Document, screen: Screen) -> Iterator[str]:
    """The blocks of the view, a blank line between two; the words at the end say what a table left out."""
    parts, notes = [], tuple[str, ...]()
    blocks = document.blocks(screen.view)
    for place, block in enumerate(blocks):
        if isinstance(block, Table):
            text, said = _table(block, screen)
            notes += said
        else:
            is_last = place == len(blocks) - 1
            text = _block(replace(block, lines=block.lines + notes) if is_last and isinstance(block, Words) else block, screen.width)
        if text is not None:
            parts.append(text)
    yield "\n".join(parts)


def _block(block: Headline | Section | Words | Lines | Chart, width: int) -> str:
    match block:
        case Headline(lines):
            return _wrapped(Words(lines), width)
        case Section(name, about):
            return _wrapped(Words((f"{name}: {about}" if about else name,), are_prose=True), width)
        case Words():
            return _wrapped(block, width)
        case Lines(pieces):
            return "".join(pieces)
        case Chart():
            from mnsim.render.chart import chart_text

            return chart_text(block, width)
        case _:
            assert_never(block)


def _wrapped(words: Words, width: int) -> str:
    indent = "  " if words.are_hanging else ""
    lines = (fill(line, width, subsequent_indent=indent, break_on_hyphens=words.are_prose) for line in words.lines)
    return "".join(f"{line}\n" for line in lines).replace("\u00a0", " ")


def _table(table: Table, screen: Screen) -> tuple[str | None, tuple[str, ...]]:
    """A table in what the width holds of it, None where that is nothing; and what there is to say of it."""
    columns, width, notes = table.columns, screen.width, tuple[str, ...]()
    while table.narrower is not None and _width(columns) > width:
        table = table.narrower
        columns = table.columns
    if not columns:
        return None, ()
    if table.bars is not None:
        from mnsim.render.chart import bars_column

        bars, legend = bars_column(table.bars, width - sum(_width([replace(column, total="")]) + _GAP for column in columns))
        columns, notes = (*columns, bars), (legend,) if legend else ()
    kept = _that_fit(columns, width)
    if len(kept) < len(columns):
        notes += (f"({len(columns) - len(kept)} more columns in a wider terminal; every figure: {table.elsewhere})",)
    if table.remark:
        notes += (table.remark,)
    title = f"{table.title}\n\n" if table.title else ""
    return title + (_with_totals(kept, screen) if table.has_totals else _aligned(kept)), notes


def _width(columns: Sequence[Column]) -> int:
    """How wide the columns are beside each other."""
    return sum(max(map(len, (column.heading, *column.cells, column.total))) + _GAP for column in columns) - _GAP


def _that_fit(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that the width holds: those of low rank, and those without."""
    widths = [_width([column]) for column in columns]
    ranks = [-1 if column.rank is None else column.rank for column in columns]
    kept = sorted(range(len(columns)), key=ranks.__getitem__)
    while len(kept) > 1 and ranks[kept[-1]] >= 0 and sum(widths[place] + _GAP for place in kept) - _GAP > width:
        fewer = [place for place in kept if ranks[place] < ranks[kept[-1]]]
        kept = fewer or kept[:-1]  # of equal rank, the last go one by one
    return [columns[place] for place in sorted(kept)]


def _aligned(columns: Sequence[Column]) -> str:
    """Columns of equal width with a rule under the headings."""
    widths = [_width([column]) for column in columns]
    cells = [
        [_fit(cell, width, column.is_text) for cell in (column.heading, *column.cells)]
        for column, width in zip(columns, widths, strict=True)
    ]
    lines = ["  ".join(row).rstrip() for row in zip(*cells, strict=True)]
    return "".join(f"{line}\n" for line in (lines[0], "─" * _width(columns), *lines[1:]))


def _with_totals(columns: Sequence[Column], screen: Screen) -> str:
    """Columns between headings and totals, which are bold where there are colours; engines have theirs."""
    paint: Callable[[str, str], str] = lambda text, style: text  # noqa: E731
    if screen.color:
        from mnsim.render.colors import painter

        paint = painter()
    widths = [min(screen.width, _width([column])) for column in columns]

    def line(cells: Iterable[str], style: str = "") -> str:
        places = zip(cells, widths, columns, strict=True)
        gap = paint(" ", style) + " " * (_GAP - 1)
        return gap.join(
            [paint(_fit(cell, width, column.is_text), f"{style} {STYLES.get(cell, '')}") for cell, width, column in places]
        ).rstrip()

    rows = map(line, zip(*(column.cells for column in columns), strict=True))
    rule = "─" * (sum(widths) + _GAP * (len(widths) - 1))
    headings, totals = (line((getattr(column, part) for column in columns), "bold") for part in ("heading", "total"))
    return "".join(f"{each}\n" for each in (headings, rule, *rows, rule, totals))


def _fit(cell: str, width: int, is_text: bool) -> str:
    """A cell as wide as its column, cut where the terminal has no room for that."""
    cell = cell if len(cell) <= width else f"{cell[: width - 1]}…"
    return cell.ljust(width) if is_text else cell.rjust(width)
