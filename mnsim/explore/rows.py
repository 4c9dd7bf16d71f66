"""The rows of a sweep, one a point, kept by column: shared counts once for all their points, times in
arrays.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.clocks.recurrence import Array
from mnsim.errors import MnsimError, ShapeError
from mnsim.explore.evaluate import COUNTS, NAMED, TIMES, Fidelity, Outcome
from mnsim.explore.points import Group, Indices, Points, level_values, places_of
from mnsim.operators.quantities import CAPACITIES, EFFICIENCIES, RATES, rate_column
from mnsim.papers.accuracy import published_accuracy
from mnsim.program.model import ENGINES, EngineName
from mnsim.spec.axes import KEYS
from mnsim.spec.records import Hardware, amount_of, own_rates

PLANNED = ("network", "alpha", "rho", "dtype", "policy", "hardware", *KEYS.values())
PUBLISHED = ("published_accuracy", "published_in")
TEXTS = ("network", "dtype", "policy", "hardware", "fused", *NAMED, "published_in", "error")
WHOLE = (*(quantity.column for quantity in CAPACITIES), *COUNTS)  # whole numbers
FLAGS = ("pareto",)
_EFFICIENCIES = tuple(f"{quantity.column}_" for quantity in EFFICIENCIES)
UNDONE = -1

Shared = dict[str, Any]  # the columns that points of one plan share, by name


class Columns(NamedTuple):
    """The names of all columns in their order; of those of the point's settings; and of those that hold times
    or energy.

    `varying` are the columns of the axes with several levels, `words` the possible words of a column.
    """

    names: tuple[str, ...]
    point_names: tuple[str, ...]
    time_names: tuple[str, ...]
    varying: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]


def columns_of(points: Points, fidelity: Fidelity, hardware: Sequence[Hardware], has_mark: bool = False) -> Columns:
    """The columns of a sweep over pieces of hardware, and `pareto` where the front is marked."""
    own = [own_rates(each) for each in hardware]
    planned = [{**rates, **_planned(each)} for rates, each in zip(own, hardware, strict=True)]
    rates = dict.fromkeys([*(quantity.column for quantity in RATES), *(column for each in own for column in each), *points.rates])
    has_energy = fidelity == "simulated" and any(each.energies is not None for each in hardware)
    absent = {*(() if fidelity == "simulated" else ("simulated_time_s", "commands")), *(() if has_energy else ("energy_j",))}
    times = tuple(name for name in TIMES if name not in absent)
    counts = tuple(name for name in COUNTS if name not in absent)
    names = (*PLANNED, *rates, *counts, *times, *NAMED, *PUBLISHED, *(FLAGS if has_mark else ()), "error")
    words = {axis.name: axis.words for axis in points.axes if axis.name in ("network", "hardware", "dtype", "policy")}
    return Columns(
        names, (*PLANNED, *rates), times, _varying(points, (*PLANNED, *rates), planned), {**words, **dict.fromkeys(NAMED, ENGINES)}
    )


def _varying(points: Points, names: Sequence[str], own: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The columns that tell points apart: axes with several levels, and the differing parts of a section's
    levels.
    """
    found: set[str] = set()
    for axis in points.axes:
        if len(axis.levels) > 1:
            sections = [name for name in names if len({values.get(name, 1.0) for values in own}) > 1]
            found.update(sections if isinstance(axis.levels[0], dict) else [column_of(axis.name)])
    return tuple(name for name in names if name in found)


def column_of(axis: str) -> str:
    """The column that has an axis's levels."""
    return rate_column(axis) or KEYS.get(axis, axis)


def planned_columns(points: Points, columns: Columns, group: Group, hardware: Hardware) -> Shared:
    """A group's columns that are known before it runs, without swept rates. An efficiency that no file gives
    is 1.
    """
    levels = level_values(points, group)
    network, alpha, rho = levels["network"], levels["alpha"], levels["rho"]
    accuracy = published_accuracy(network, alpha, rho)
    efficiencies = [name for name in columns.point_names if name.startswith(_EFFICIENCIES)]
    return {
        "network": network.name,
        "alpha": float(alpha),
        "rho": float(rho),
        "dtype": levels["dtype"],
        "policy": levels["policy"],
        "hardware": hardware.name,
        **_planned(hardware),
        **{name: 1.0 for name in efficiencies if name not in points.rates},
        **{column: value for column, value in own_rates(hardware).items() if column not in points.rates},
        "published_accuracy": accuracy.share if accuracy else None,
        "published_in": accuracy.source if accuracy else None,
    }


def _planned(hardware: Hardware) -> Shared:
    """The part of a piece of hardware that plans depend on."""
    return {
        **{quantity.column: amount_of(hardware, quantity) for quantity in CAPACITIES},
        "fused": "+".join(hardware.fused) or None,
    }


class Rows:
    """A row a point, filled as outcomes come; `names` are the columns, in their order.

    `shared_of` has for each point the number of its shared columns in `shared`, UNDONE while it has not run.
    `times` hold NaN, and `named` (the columns that name an engine, by its number in ENGINES) -1, where there
    is no result.
    """

    def __init__(self, points: Points, columns: Columns) -> None:
        self.points = points
        self.columns = columns
        self.names, self.point_names, self.time_names, *_ = columns
        self.shared: list[Shared] = []
        self.shared_of: NDArray[np.int32] = np.full(points.count, UNDONE, np.int32)
        self.times = {name: np.full(points.count, np.nan) for name in self.time_names}
        self.named: dict[str, NDArray[np.int8]] = {name: np.full(points.count, -1, np.int8) for name in NAMED}
        self.flags: dict[str, NDArray[np.bool_]] = {}
        self._numbers: dict[tuple[Any, ...], int] = {}

    def add(self, numbers: Indices, planned: Shared, outcome: Outcome) -> None:
        """Fill in the rows of the points that have run."""
        error = None if outcome.error is None else error_text(outcome.error)
        if error is not None:
            self.shared_of[numbers] = self.share({**planned, "error": error})
        for settings, counts in outcome.plans:
            self.shared_of[numbers[settings]] = self.share({**planned, **counts, "error": error})
        if error is None:
            for name in NAMED:
                self.named[name][numbers] = outcome.named[name]
            for name in self.time_names:
                self.times[name][numbers] = outcome.times.get(name, np.nan)

    def share(self, columns: Shared) -> int:
        """The place of these columns in `shared`, to which new ones are added."""
        key = tuple(columns.get(name) for name in self.names)
        if key not in self._numbers:
            self._numbers[key] = len(self.shared)
            self.shared.append(columns)
        return self._numbers[key]

    def is_shared(self, name: str) -> bool:
        """Whether a column is the same for all points that share a plan."""
        return name not in self.times and name not in self.named and name not in self.points.rates and name not in self.flags


def error_text(error: MnsimError) -> str:
    """An error as a row has it: without its place in a file, which is no part of the point."""
    layer = f"layer '{error.layer}': " if isinstance(error, ShapeError) else ""
    return f"{error.code}: {layer}{error.message}"


def done(rows: Rows) -> Indices:
    """The numbers of the points that have run, in order."""
    return np.flatnonzero(rows.shared_of != UNDONE)


def with_results(rows: Rows, numbers: Indices) -> Indices:
    """Those of these points that ran and did not fail."""
    found: Indices = numbers[rows.named["busiest"][numbers] >= 0]
    return found


def failures(rows: Rows) -> Indices:
    """The numbers of the points that failed, in order."""
    failed = np.array([shared.get("error") is not None for shared in rows.shared] or [False])
    numbers = done(rows)
    failing: Indices = numbers[failed[rows.shared_of[numbers]]]
    return failing


def amounts(rows: Rows, name: str, numbers: Indices) -> Array:
    """A column of numbers; NaN where there is none."""
    if name in rows.times:
        return rows.times[name][numbers]
    if name in rows.points.rates:
        return _swept(rows.points, name, numbers)
    values, places = shared_values(rows, name, numbers)
    return np.array([np.nan if value is None else value for value in values], np.float64)[places]


def texts(rows: Rows, name: str, numbers: Indices) -> NDArray[np.object_]:
    """A column of words; None where there is none."""
    if name in rows.named:
        return np.array([*ENGINES, None], object)[rows.named[name][numbers]]
    values, places = shared_values(rows, name, numbers)
    return np.array(values, object)[places]


def shared_values(rows: Rows, name: str, numbers: Indices) -> tuple[list[Any], NDArray[np.intp]]:
    """The values of a column that these points share with others, and each point's place among them."""
    needed, places = np.unique(rows.shared_of[numbers], return_inverse=True)
    return [rows.shared[number].get(name) for number in needed.tolist()], places.reshape(-1)


def _swept(points: Points, column: str, numbers: Indices) -> Array:
    axis = points.plan_axes + list(points.rates).index(column)
    return points.rates[column][places_of(points, axis, numbers)]


def least(rows: Rows, name: str, numbers: Indices) -> float | None:
    """The smallest number of a column; None where there is none."""
    values = amounts(rows, name, numbers)
    there = values[~np.isnan(values)]
    return float(there.min()) if len(there) else None


def engine_counts(rows: Rows, name: str, numbers: Indices) -> dict[EngineName, int]:
    """The number of these points that name each engine in a column, the largest first; engines that none
    names are left out.
    """
    counts = {engine: int(np.count_nonzero(rows.named[name][numbers] == place)) for place, engine in enumerate(ENGINES)}
    return {engine: counts[engine] for engine in sorted(counts, key=lambda engine: -counts[engine]) if counts[engine]}


Encode = Callable[[Any], str]


def encoded(rows: Rows, name: str, numbers: Indices, encode: Encode) -> list[str]:
    """A column's cells as text; shared values are encoded once."""
    if name in rows.flags:
        return [encode(flag) for flag in rows.flags[name][numbers].tolist()]
    if name in rows.named:
        words = [*map(encode, ENGINES), encode(None)]
        return [words[number] for number in rows.named[name][numbers].tolist()]
    if not rows.is_shared(name):
        nothing = encode(None)
        return [encode(value) if value == value else nothing for value in amounts(rows, name, numbers).tolist()]
    values, places = shared_values(rows, name, numbers)
    words = [encode(value) for value in values]
    return [words[place] for place in places.tolist()]


def json_cell(value: Any) -> str:
    """A cell as JSON."""
    return repr(value) if type(value) in (float, int) else json.dumps(value)


def records(rows: Rows, numbers: Indices | Sequence[int], names: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Rows as dictionaries."""
    chosen = np.asarray(numbers, np.int64)
    columns = {name: _values(rows, name, chosen) for name in names or rows.names}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _values(rows: Rows, name: str, numbers: Indices) -> list[Any]:
    if name in rows.flags:
        return list(rows.flags[name][numbers].tolist())
    if rows.is_shared(name) or name in rows.named:
        return list(texts(rows, name, numbers))
    return [value if value == value else None for value in amounts(rows, name, numbers).tolist()]
