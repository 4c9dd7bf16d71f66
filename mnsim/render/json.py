"""Plain data as JSON."""

import json
from collections.abc import Iterator
from itertools import islice
from math import isfinite
from typing import Any

from mnsim.document.model import Document, Listing, Rows
from mnsim.render.formats import Screen, cells

PART = 8_192  # items of a piece


def render(document: Document, screen: Screen) -> Iterator[str]:
    """The record, indented; of a listing the long list's items are a line each."""
    record = document.record()
    return _listing(record) if isinstance(record, Listing) else iter([json.dumps(record, indent=2) + "\n"])


def _listing(listing: Listing) -> Iterator[str]:
    line, item, last, end = ("\n ", "\n  ", "", "") if listing.is_compact else ("\n  ", "\n    ", "\n  ", "\n")
    before, after = (
        [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items()] for entries in (listing.before, listing.after)
    )
    opening = "{" if listing.is_compact else f"{{{line}"
    yield opening + f",{line}".join([*before, f"{json.dumps(listing.name)}: ["])
    separator = item
    for piece in _items(listing.items, f",{item}"):
        yield separator + piece
        separator = f",{item}"
    yield "".join([last if separator != item else "", "]", *(f",{line}{entry}" for entry in after), end, "}\n"])


def _items(items: Any, separator: str) -> Iterator[str]:
    if isinstance(items, Rows):
        for columns in items.parts(PART):
            named = ([f'"{name}": {cell}' for cell in cells(column, _cell)] for name, column in zip(items.names, columns, strict=True))
            yield separator.join(f"{{{', '.join(line)}}}" for line in zip(*named, strict=True))
        return
    rest = iter(items())
    while part := separator.join(map(json.dumps, islice(rest, PART))):
        yield part


def _cell(value: Any) -> str:
    return repr(value) if type(value) is int or (type(value) is float and isfinite(value)) else json.dumps(value)
