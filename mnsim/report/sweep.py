"""`mnsim sweep`: its rows by columns, a part at a time. The names are a public contract."""

from collections.abc import Callable, Iterator

from mnsim.document import model
from mnsim.document.model import Document, Kind, Listing, Values
from mnsim.explore.points import Indices, Points
from mnsim.explore.rows import TEXTS, WHOLE, Rows, amounts, shared_values
from mnsim.explore.select import Selected
from mnsim.explore.version import model_version
from mnsim.program.model import ENGINES
from mnsim.report.records import Record
from mnsim.report.sweep_words import goals_record


def sweep_document(rows: Rows, selected: Selected, mode: str, is_file: bool) -> Document:
    """The rows and the sentences about them; a file has all rows, a screen a limited number."""
    from mnsim.report.sweep_table import sweep_blocks

    def columns() -> model.Rows:
        return _by_columns(rows, selected.numbers)

    return Document(
        lambda: Listing({"sweep": _about(rows, selected, mode)}, "rows", columns(), {}),
        columns,
        lambda view: sweep_blocks(rows, selected, view, is_file),
    )


def points_document(points: Points, mode: str, each: Callable[[], Document], stored: Callable[[], int | None]) -> Document:
    """The points before they run: on a screen the axes and the number of stored points, else `each` point."""
    from mnsim.report.sweep_table import listing_blocks

    return Document(
        lambda: each().record(),
        lambda: each().rows(),
        lambda view: each().blocks(view) if view == "page" else listing_blocks(points, mode, stored()),
    )


def _about(rows: Rows, selected: Selected, mode: str) -> Record:
    """The question that the sweep answers: mode, points, model, axes."""
    axes = {axis.name: list(axis.words) for axis in rows.points.axes}
    about = {"mode": mode, "points": rows.points.count, "rows": len(selected.numbers), "model": model_version(), "axes": axes}
    return {**about, "pareto": goals_record(rows, selected)} if selected.selection.objectives else about


def _by_columns(rows: Rows, numbers: Indices) -> model.Rows:
    def parts(size: int) -> Iterator[list[Values]]:
        for first in range(0, len(numbers), size):
            yield [_values(rows, name, numbers[first : first + size]) for name in rows.names]

    return model.Rows(rows.names, parts, lambda: tuple(_kind(rows, name) for name in rows.names))


def _values(rows: Rows, name: str, numbers: Indices) -> Values:
    if name in rows.flags:
        return Values(rows.flags[name][numbers].tolist())
    if name in rows.named:
        return Values([*ENGINES, None], (rows.named[name][numbers] % (len(ENGINES) + 1)).tolist())
    if not rows.is_shared(name):
        return Values([value if value == value else None for value in amounts(rows, name, numbers).tolist()])
    values, places = shared_values(rows, name, numbers)
    return Values(values, places.tolist())


def _kind(rows: Rows, name: str) -> Kind:
    if name in TEXTS:
        return "text"
    if name in rows.flags:
        return "flag"
    is_whole = name in WHOLE and all(abs(shared.get(name) or 0) < 2**63 for shared in rows.shared)
    return "whole" if is_whole else "number"
