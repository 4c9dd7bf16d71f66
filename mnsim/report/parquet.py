"""The rows of a sweep as Parquet, for which pyarrow must be installed."""

from collections.abc import Sequence
from importlib import import_module
from typing import IO, Any

from mnsim.errors import Location, SpecError
from mnsim.explore.points import Numbers
from mnsim.explore.rows import TEXTS, WHOLE, Rows, amounts, shared_values
from mnsim.program.model import ENGINES

PART = 1 << 17  # rows of a group


def require_pyarrow(name: str) -> None:
    """Raises SpecError S404 where pyarrow is not installed: said before any work is done."""
    try:
        import_module("pyarrow.parquet")
    except ImportError:
        message = "pyarrow is not installed, and Parquet needs it"
        raise SpecError("S404", message, Location("--output", text=name, length=len(name)), "pip install 'mnsim[parquet]'") from None


def write_parquet(file: IO[bytes], rows: Rows, names: Sequence[str], numbers: Numbers) -> None:
    """Columns of 64-bit floats and whole numbers, words as dictionaries, null where there is nothing."""
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    schema = arrow.schema([(name, _type(arrow, name, rows)) for name in names])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for first in range(0, max(1, len(numbers)), PART):
            part = numbers[first : first + PART]
            writer.write_table(arrow.table([_column(arrow, name, rows, part) for name in names], schema=schema))


def _type(arrow: Any, name: str, rows: Rows) -> Any:
    if name in TEXTS:
        return arrow.dictionary(arrow.int32(), arrow.string())
    if name in rows.flags:
        return arrow.bool_()
    is_whole = name in WHOLE and all(abs(shared.get(name) or 0) < 2**63 for shared in rows.shared)
    return arrow.int64() if is_whole else arrow.float64()


def _column(arrow: Any, name: str, rows: Rows, numbers: Numbers) -> Any:
    """What points share is made once, and taken as often as it is needed: whole numbers beyond 2 to the 53rd stay exact."""
    if name in rows.flags:
        return arrow.array(rows.flags[name][numbers])
    if name in rows.named:
        return arrow.array([*ENGINES, None], arrow.string()).take(arrow.array(rows.named[name][numbers] % 4)).dictionary_encode()
    if rows.is_shared(name):
        shared, places = shared_values(rows, name, numbers)
        if name in TEXTS:
            return arrow.array(shared, arrow.string()).take(arrow.array(places)).dictionary_encode()
        kind = _type(arrow, name, rows)
        numbers_ = [float(value) if value is not None and kind == arrow.float64() else value for value in shared]
        return arrow.array(numbers_, kind).take(arrow.array(places))
    return arrow.array(amounts(rows, name, numbers), from_pandas=True)  # NaN is null
