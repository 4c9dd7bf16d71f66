"""The rows of a sweep as CSV, JSON and markdown, a part at a time. The names are a public contract."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from mnsim.explore.points import Numbers, Points
from mnsim.explore.rows import Rows, encoded, json_cell
from mnsim.explore.select import Selected
from mnsim.explore.version import model_version
from mnsim.report.sweep_words import goals_record

PART = 8_192  # rows at a time


def sweep_csv(rows: Rows, names: Sequence[str], numbers: Numbers) -> Iterator[str]:
    """A line a row, as pandas reads it; an empty field where there is nothing."""
    yield ",".join(names) + "\n"
    for cells in _parts(rows, names, numbers, _csv_cell):
        yield "\n".join(map(",".join, cells)) + "\n"


def _csv_cell(value: Any) -> str:
    if type(value) in (float, int):
        return repr(value)
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow([value])
    return stream.getvalue().removesuffix('""') if not value else stream.getvalue()


def sweep_json(rows: Rows, names: Sequence[str], selected: Selected, mode: str) -> Iterator[str]:
    """What was asked for, and an object a row; null where there is nothing."""
    numbers = selected.numbers
    head = {"mode": mode, "points": rows.points.count, "rows": len(numbers), "model": model_version(), "axes": axes_record(rows.points)}
    if selected.selection.objectives:
        head["pareto"] = goals_record(rows, selected)
    yield f'{{\n  "sweep": {json.dumps(head)},\n  "rows": ['
    separator = "\n    "
    for cells in _parts(rows, names, numbers, json_cell):
        keyed = (", ".join(f'"{name}": {cell}' for name, cell in zip(names, line, strict=True)) for line in cells)
        yield separator + ",\n    ".join(f"{{{line}}}" for line in keyed)
        separator = ",\n    "
    yield "\n  ]\n}\n" if len(numbers) else "]\n}\n"


def axes_record(points: Points) -> dict[str, list[str]]:
    """Each axis's levels as they were written."""
    return {axis.name: list(axis.words) for axis in points.axes}


def _parts(rows: Rows, names: Sequence[str], numbers: Numbers, encode: Any) -> Iterator[Iterator[tuple[str, ...]]]:
    for first in range(0, len(numbers), PART):
        part = numbers[first : first + PART]
        yield zip(*(encoded(rows, name, part, encode) for name in names), strict=True)
