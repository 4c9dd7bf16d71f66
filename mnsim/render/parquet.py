"""Rows as Parquet, for which pyarrow must be installed."""

import io
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from mnsim.document.model import Document, Kind, Values
from mnsim.errors import Location, SpecError
from mnsim.render.formats import Screen

PART = 1 << 17  # rows of a group


def require(name: str) -> None:
    """Raises SpecError S404 where pyarrow is not installed: said before any work is done."""
    try:
        import_module("pyarrow.parquet")
    except ImportError:
        message = "pyarrow is not installed, and Parquet needs it"
        raise SpecError("S404", message, Location("--output", text=name, length=len(name)), "pip install 'mnsim[parquet]'") from None


class _Sink(io.RawIOBase):
    """A file that hands over what was written to it."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self.pieces.append(bytes(piece))
        return len(self.pieces[-1])

    def taken(self) -> bytes:
        piece, self.pieces = b"".join(self.pieces), []
        return piece


def render(document: Document, screen: Screen) -> Iterator[bytes]:
    """Columns of 64-bit floats and whole numbers, words as dictionaries, null where there is no value."""
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    rows, sink = document.rows(), _Sink()
    types = [_type(arrow, kind) for kind in rows.kinds()]
    schema = arrow.schema(list(zip(rows.names, types, strict=True)))
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for columns in rows.parts(PART):
            writer.write_table(arrow.table([_column(arrow, *each) for each in zip(columns, types, strict=True)], schema=schema))
            yield sink.taken()
    yield sink.taken()


def _type(arrow: Any, kind: Kind) -> Any:
    if kind == "text":
        return arrow.dictionary(arrow.int32(), arrow.string())
    return {"flag": arrow.bool_(), "whole": arrow.int64(), "number": arrow.float64()}[kind]


def _column(arrow: Any, column: Values, kind: Any) -> Any:
    """A column as pyarrow has it. Shared values are made once; whole numbers beyond 2**53 stay exact."""
    is_text = arrow.types.is_dictionary(kind)
    values = [float(value) if value is not None and kind == arrow.float64() else value for value in column.values]
    made = arrow.array(values, arrow.string() if is_text else kind)
    made = made if column.places is None else made.take(arrow.array(column.places))
    return made.dictionary_encode() if is_text else made
