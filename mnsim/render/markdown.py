"""Blocks as GitHub's markdown."""

from collections.abc import Iterator, Sequence
from typing import assert_never

from mnsim.document.blocks import Block, Chart, Column, Headline, Lines, Section, Table, Words
from mnsim.document.model import Document
from mnsim.render.formats import Screen


def render(document: Document, screen: Screen) -> Iterator[str]:
    """The blocks of a page one below the other; a chart has no place there."""
    yield "\n".join(_block(block) for block in document.blocks("page") if not isinstance(block, Chart))


def _block(block: Block) -> str:
    match block:
        case Headline(lines):
            return f"{'; '.join(lines)}\n"
        case Section(name, about):
            return f"## {name}\n\n{about}\n" if about else f"**{name}**\n"
        case Words(lines, are_items):
            return "".join(f"{'- ' if are_items else ''}{line}\n" for line in lines)
        case Lines(pieces):
            return "".join(pieces)
        case Table(columns, title, has_totals):
            return (f"### {title}\n\n" if title else "") + _table(columns, has_totals)
        case Chart():
            return ""
        case _:
            assert_never(block)


def _table(columns: Sequence[Column], has_totals: bool) -> str:
    """A table whose source reads well, too: padded, and numbers aligned to the right."""
    padded = [_padded(column, has_totals) for column in columns]
    return "".join(f"| {' | '.join(row)} |\n" for row in zip(*padded, strict=True))


def _padded(column: Column, has_totals: bool) -> list[str]:
    """A column's cells in one width, with the rule that says its alignment in the second place."""
    below = [*(f"`{cell}`" if column.is_code else cell for cell in column.cells), *([column.total] if has_totals else [])]
    cells = [cell.replace("|", "\\|") for cell in (column.heading, *below)]
    width = max(3, *map(len, cells))
    cells = [cell.ljust(width) if column.is_text else cell.rjust(width) for cell in cells]
    return [cells[0], "-" * width if column.is_text else "-" * (width - 1) + ":", *cells[1:]]
