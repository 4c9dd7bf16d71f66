"""Rows as CSV, which pandas reads without options: an empty field where there is no value."""

from collections.abc import Iterator
from typing import Any

from mnsim.document.model import Document
from mnsim.render.formats import Screen, cells

PART = 8_192  # rows of a piece
_SPECIAL = frozenset(',"\r\n')


def render(document: Document, screen: Screen) -> Iterator[str]:
    """The columns' names, then a line a row."""
    rows = document.rows()
    yield f"{','.join(rows.names)}\n"
    for columns in rows.parts(PART):
        lines = zip(*(cells(column, _cell) for column in columns), strict=True)
        yield "\n".join(map(",".join, lines)) + "\n"


def _cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    text = str(value)
    if _SPECIAL.isdisjoint(text):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
