"""The table of formats: what `--format` takes, what a file's suffix means, and the module that writes it.

A module of this table has a function `render(document, screen)`, which gives the result in pieces.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Literal, NamedTuple

from mnsim.document.model import Document, Values, View

Encode = Callable[[Any], str]


class Screen(NamedTuple):
    """Where a document is shown: its width in characters, whether it has colours, how much is wanted."""

    width: int
    color: bool
    view: View


class Format(NamedTuple):
    """A format: the aspect of a document that it writes, its module, and the suffixes of its files.

    A binary format gives bytes, for a file only. Its module has a function `require(output)`, which raises
    SpecError where a package is not installed.
    """

    aspect: Literal["record", "rows", "blocks"]
    module: str
    suffixes: tuple[str, ...]
    is_binary: bool = False


FORMATS = {
    "table": Format("blocks", "mnsim.render.text", (".txt",)),
    "csv": Format("rows", "mnsim.render.csv", (".csv",)),
    "json": Format("record", "mnsim.render.json", (".json",)),
    "markdown": Format("blocks", "mnsim.render.markdown", (".md", ".markdown")),
    "parquet": Format("rows", "mnsim.render.parquet", (".parquet",), is_binary=True),
}


def render(name: str, document: Document, screen: Screen) -> Iterable[str | bytes]:
    """The document in a format, in pieces."""
    pieces: Iterable[str | bytes] = import_module(FORMATS[name].module).render(document, screen)
    return pieces


def cells(column: Values, encode: Encode) -> list[str]:
    """A column's cells; values that rows share are encoded once."""
    words = [encode(value) for value in column.values]
    return words if column.places is None else [words[place] for place in column.places]
